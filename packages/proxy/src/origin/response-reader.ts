import { parseContentLength } from '../http/field-syntax.ts'
import { Fields } from '../http/fields.ts'
import { FieldFacts, type FieldSection } from '../http/message/field-section.ts'
import { CHUNKED_BODY, NO_BODY } from '../http/message/framing.ts'
import { hasLineFeed, type InputBuffer } from '../http/message/input-buffer.ts'

/** `bodyLength` of a response that ends with its connection (RFC 9112 §6.3 rule 8). */
export const UNTIL_CLOSE = -3

const MAX_STATUS_LINE_BYTES = 1024
const MAX_INTERIM = 32
const NO_FIELDS = new Fields()

/**
 * Takes the heads of one response, interim ones first, off the input (RFC 9112 §4 to §6.3). What two readers could take
 * in two ways is refused: an origin that is misread poisons the cache for everyone. The cost is linear in what came,
 * however small the packets.
 */
export class ResponseReader {
  status = 0
  minorVersion = 1
  bodyLength = NO_BODY
  keepAlive = false
  /** Of the head that `take` has just found. */
  fields: Fields = NO_FIELDS
  /** Why `take` returned -1. */
  reason = ''
  /** The refusal is about size, not about syntax. */
  tooLarge = false
  readonly #section: FieldSection
  readonly #maxBytes: number
  #method = ''
  #bytesTaken = 0
  #interim = 0
  /** Octets of an incomplete head that have been read: they are read again only when another line has come. */
  #bytesSeen = 0

  /** `maxBytes`: of all heads of one response together. */
  constructor(section: FieldSection, maxBytes: number) {
    this.#section = section
    this.#maxBytes = maxBytes
  }

  /** The heads that follow answer a request with this method. */
  begin(method: string): void {
    this.#method = method
    this.#bytesTaken = 0
    this.#interim = 0
    this.#bytesSeen = 0
  }

  /** 1 when a head was found, 0 when more bytes are needed, -1 when the response is refused. */
  take(input: InputBuffer): -1 | 0 | 1 {
    const seen = this.#bytesSeen
    const left = this.#maxBytes - this.#bytesTaken
    const isLate = seen > 0 && !hasLineFeed(input.bytes, input.start + seen, input.end)
    const next = isLate ? 0 : this.#read(input.bytes, input.start, input.end, left)
    if (next < 0) return -1
    if (next === 0) {
      this.#bytesSeen = input.available
      return input.available > left ? this.#refuseSize() : 0
    }
    this.#bytesSeen = 0
    this.#bytesTaken += next - input.start
    if (this.#bytesTaken > this.#maxBytes) return this.#refuseSize()
    input.start = next
    if (this.status < 200 && ++this.#interim > MAX_INTERIM) {
      return this.#refuse(`it has more than ${MAX_INTERIM} interim responses`)
    }
    return 1
  }

  #read(bytes: Buffer, start: number, end: number, maxBytes: number): number {
    const at = this.#readStatusLine(bytes, start, end)
    if (at <= 0) return at
    const facts = new FieldFacts()
    const next = this.#section.parse(bytes, at, end, maxBytes, facts)
    if (next < 0) {
      return this.#section.status === 431 ? this.#refuseSize() : this.#refuse(this.#section.reason)
    }
    if (next === 0) return 0
    if (!this.#readFraming(facts)) return -1
    this.fields = this.#section.toFields(bytes, () => false)
    return next
  }

  /** RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ] CRLF; the second SP may be missing. */
  #readStatusLine(bytes: Buffer, start: number, end: number): number {
    // Garbage is seen for what it is without waiting for a line end that may never come.
    const begun = Math.min(VERSION.length, end - start)
    if (bytes.latin1Slice(start, start + begun) !== VERSION.slice(0, begun)) {
      return this.#refuse('it does not begin with a status line')
    }
    const lineEnd = bytes.subarray(start, end).indexOf(0x0a)
    if (lineEnd > MAX_STATUS_LINE_BYTES || (lineEnd < 0 && end - start > MAX_STATUS_LINE_BYTES)) {
      return this.#refuse('its status line is too long')
    }
    if (lineEnd < 0) return 0
    const line = bytes.latin1Slice(start, start + lineEnd + 1)
    const match = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n$/.exec(line)
    if (match === null) return this.#refuse('it does not begin with a status line')
    this.minorVersion = match[1] === '1' ? 1 : 0
    this.status = Number(match[2])
    if (this.status > 599) return this.#refuse(`its status ${this.status} is in no class`)
    return start + lineEnd + 1
  }

  /** RFC 9112 §6.3 */
  #readFraming(facts: FieldFacts): boolean {
    const { contentLength, contentLengthLines, transferEncoding, transferEncodingLines } = facts
    this.keepAlive = this.minorVersion === 1
    for (const option of (facts.connection ?? '').toLowerCase().split(',')) {
      if (option.trim() === 'close') this.keepAlive = false
    }
    const length = parseContentLength(contentLength ?? '')
    if (contentLengthLines > 1 || (contentLengthLines === 1 && length === undefined)) {
      return this.#refused('its Content-Length is not one decimal number')
    }
    if (transferEncodingLines > 0) {
      if (contentLengthLines > 0) {
        return this.#refused('it has both Content-Length and Transfer-Encoding')
      }
      if (transferEncodingLines > 1 || transferEncoding?.toLowerCase() !== 'chunked') {
        return this.#refused("its Transfer-Encoding is not 'chunked', once")
      }
      if (this.minorVersion === 0) return this.#refused('HTTP/1.0 has no Transfer-Encoding')
    }
    const { status } = this
    if (this.#method === 'HEAD' || status < 200 || status === 204 || status === 304) {
      this.bodyLength = NO_BODY
    } else if (transferEncodingLines > 0) this.bodyLength = CHUNKED_BODY
    else if (length !== undefined) this.bodyLength = length === 0 ? NO_BODY : length
    else {
      this.bodyLength = UNTIL_CLOSE
      this.keepAlive = false
    }
    return true
  }

  #refused(reason: string): false {
    this.#refuse(reason)
    return false
  }

  #refuse(reason: string): -1 {
    this.tooLarge = false
    this.reason = reason
    return -1
  }

  #refuseSize(): -1 {
    this.tooLarge = true
    this.reason = 'its field section is too large'
    return -1
  }
}

const VERSION = 'HTTP/1.'

import { parseContentLength } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import { FieldFacts, type FieldSection } from '../http/message/field-section.ts'
import { CHUNKED_BODY, NO_BODY } from '../http/message/framing.ts'

/** `bodyLength` of a response that ends with its connection (RFC 9112 §6.3 rule 8). */
export const UNTIL_CLOSE = -3

const MAX_REASON_BYTES = 1024

/**
 * Reads the head of a response (RFC 9112 §4 to §6.3) out of contiguous bytes. What two readers could take in two ways
 * is refused: an origin that is misread poisons the cache for everyone.
 */
export class ResponseReader {
  status = 0
  minorVersion = 1
  bodyLength = NO_BODY
  keepAlive = false
  fields: Fields | null = null
  /** Why `read` returned -1. */
  reason = ''
  tooLarge = false
  readonly #section: FieldSection
  readonly #maxHeadBytes: number

  constructor(section: FieldSection, maxHeadBytes: number) {
    this.#section = section
    this.#maxHeadBytes = maxHeadBytes
  }

  /** Where the octet after the head stands; 0 when more bytes are needed, -1 when the response is refused. */
  read(bytes: Buffer, start: number, end: number, method: string): number {
    const at = this.#readStatusLine(bytes, start, end)
    if (at <= 0) return at
    const facts = new FieldFacts()
    const next = this.#section.parse(bytes, at, end, this.#maxHeadBytes, facts)
    if (next < 0) {
      this.tooLarge = this.#section.status === 431
      return this.#refuse(this.#section.reason)
    }
    if (next === 0) return 0
    if (!this.#readFraming(facts, method)) return -1
    this.fields = this.#section.toFields(bytes, () => false)
    return next
  }

  /** RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ] CRLF; the second SP may be missing. */
  #readStatusLine(bytes: Buffer, start: number, end: number): number {
    const lineEnd = bytes.indexOf(0x0a, start)
    if (lineEnd === -1 || lineEnd >= end) {
      if (end - start > MAX_REASON_BYTES) return this.#refuse('the status line is too long')
      // Garbage is seen for what it is without waiting for a line end that may never come.
      const known = 'HTTP/1.'.slice(0, end - start)
      return bytes.latin1Slice(start, start + known.length) === known
        ? 0
        : this.#refuse('it does not begin with a status line')
    }
    if (lineEnd - start > MAX_REASON_BYTES) return this.#refuse('the status line is too long')
    const line = bytes.latin1Slice(start, lineEnd + 1)
    const match = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n$/.exec(line)
    if (match === null) return this.#refuse('it does not begin with a status line')
    this.minorVersion = match[1] === '1' ? 1 : 0
    this.status = Number(match[2])
    if (this.status > 599) return this.#refuse(`its status ${this.status} is in no class`)
    return lineEnd + 1
  }

  /** RFC 9112 §6.3 */
  #readFraming(facts: FieldFacts, method: string): boolean {
    const { contentLength, contentLengthLines, transferEncodingLines } = facts
    this.keepAlive = this.minorVersion === 1
    for (const option of (facts.connection ?? '').toLowerCase().split(',')) {
      if (option.trim() === 'close') this.keepAlive = false
    }
    let length: number | undefined
    if (contentLengthLines > 0) {
      length = parseContentLength(contentLength ?? '')
      if (contentLengthLines > 1 || length === undefined) {
        return this.#refused('its Content-Length is not one decimal number')
      }
    }
    if (transferEncodingLines > 0) {
      if (contentLengthLines > 0) {
        return this.#refused('Content-Length and Transfer-Encoding exclude each other')
      }
      if (transferEncodingLines > 1 || facts.transferEncoding?.toLowerCase() !== 'chunked') {
        return this.#refused("its Transfer-Encoding is not 'chunked'")
      }
      if (this.minorVersion === 0) return this.#refused('HTTP/1.0 has no Transfer-Encoding')
    }
    const { status } = this
    if (method === 'HEAD' || status < 200 || status === 204 || status === 304) {
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
    this.reason = reason
    return false
  }

  #refuse(reason: string): -1 {
    this.reason = reason
    return -1
  }
}

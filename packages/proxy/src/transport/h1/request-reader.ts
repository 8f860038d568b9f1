import { parseAuthority } from '../../http/authority.ts'
import { listMembers, parseContentLength, TOKEN_OCTET } from '../../http/field-syntax.ts'
import type { Fields } from '../../http/fields.ts'
import { FieldFacts, type FieldSection } from '../../http/message/field-section.ts'
import { CHUNKED_BODY, NO_BODY } from '../../http/message/framing.ts'
import { normaliseTarget, parseTarget } from '../../http/request-target.ts'
import type { TransportLimits } from '../limits.ts'

/** A field section whose meaning is worked out; kept from request to request while a client repeats its bytes. */
interface KnownSection {
  readonly facts: FieldFacts
  readonly authority: string
  readonly close: boolean
  readonly keepAlive: boolean
  readonly unusual: boolean
  /** The octets of the section with its empty line; null until they came twice. */
  raw: Buffer | null
}

/** Longest field section that a connection remembers, bytes: an idle connection holds no more than this. */
const MAX_REMEMBERED_BYTES = 2048
const MAX_METHOD_BYTES = 64
const VERSION = Buffer.from('HTTP/1.1\r\n', 'latin1')

/**
 * Reads a request head (RFC 9112 §2 to §6.3) out of contiguous bytes and decides what it means. Whatever two readers
 * could take in two ways is refused: framing, line ends, white space, Host. One per connection; the results stand in
 * its fields until the next `read`.
 */
export class RequestReader {
  method = ''
  target = ''
  /** Of the target in absolute form, otherwise of Host. */
  authority = ''
  minorVersion = 1
  bodyLength = NO_BODY
  keepAlive = true
  expectsContinue = false
  unusual = false
  facts: FieldFacts = NO_FACTS
  /** Of the refusal, when `read` returned -1. */
  status = 0
  reason = ''
  readonly #limits: TransportLimits
  readonly #scheme: 'http' | 'https'
  readonly #section: FieldSection
  #bytes: Buffer | null = null
  #fieldsStart = 0
  #fieldsEnd = 0
  #fields: Fields | null = null
  #known: KnownSection | null = null

  constructor(limits: TransportLimits, scheme: 'http' | 'https', section: FieldSection) {
    this.#limits = limits
    this.#scheme = scheme
    this.#section = section
  }

  /** Where the octet after the head stands; 0 when more bytes are needed, -1 when the request is refused. */
  read(bytes: Buffer, start: number, end: number): number {
    this.method = ''
    let at = this.#readMethod(bytes, start, end)
    if (at <= 0) return at
    const targetStart = at
    const maxTargetEnd = at + this.#limits.maxTargetBytes
    let octet = 0
    while (at < end && (octet = bytes[at]) > 0x20 && octet < 0x7f) at++
    if (at > maxTargetEnd) return this.#refuse(414, 'the request target is too long')
    if (at >= end) return 0
    if (octet !== 0x20 || at === targetStart) {
      return this.#refuse(400, 'the request line is not method, target and version')
    }
    const targetEnd = at++
    at = this.#readVersion(bytes, at, end)
    if (at <= 0) return at
    const next = this.#readFields(bytes, at, end, this.#limits.maxHeaderBytes - (at - start))
    if (next <= 0) return next
    return this.#readTarget(bytes, targetStart, targetEnd) ? next : -1
  }

  /** All fields but Host. Valid as long as the bytes given to `read` are. */
  get fields(): Fields {
    if (this.#fields !== null) return this.#fields
    const bytes = this.#bytes
    if (bytes === null) throw new Error('no request has been read')
    // The shared section may have been used for another connection, or not at all when the bytes were remembered.
    if (!this.#section.holds(bytes, this.#fieldsStart)) {
      this.#section.parse(bytes, this.#fieldsStart, this.#fieldsEnd, this.#fieldsEnd, null)
    }
    this.#fields = this.#section.toFields(bytes, isHost)
    return this.#fields
  }

  refuseTooLarge(): void {
    this.#refuse(431, 'the request head is larger than this server takes')
  }

  /** Lets go of the input. */
  release(): void {
    this.#bytes = null
    this.#fields = null
  }

  #readMethod(bytes: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && TOKEN_OCTET[bytes[at]] === 1) at++
    if (at - start > MAX_METHOD_BYTES) return this.#refuse(501, 'the method is not known')
    if (at >= end) return 0
    if (bytes[at] !== 0x20 || at === start) {
      return this.#refuse(400, 'the request line does not begin with a method')
    }
    if (at - start === 3 && bytes[start] === 0x47 && bytes[start + 1] === 0x45) {
      this.method = bytes[start + 2] === 0x54 ? 'GET' : bytes.latin1Slice(start, at)
    } else this.method = bytes.latin1Slice(start, at)
    return at + 1
  }

  #readVersion(bytes: Buffer, start: number, end: number): number {
    this.minorVersion = 1
    for (let i = 0; i < VERSION.length; i++) {
      if (start + i >= end) return 0
      const octet = bytes[start + i]
      if (octet === VERSION[i]) continue
      if (i === 7 && octet === 0x30) this.minorVersion = 0
      else return this.#otherVersion(bytes.latin1Slice(start, Math.min(start + 10, end)))
    }
    return start + VERSION.length
  }

  #otherVersion(text: string): number {
    if (text.length < 10 && /^HTTP\/[0-9](\.([0-9]\r?)?)?$/.test(text)) return 0
    const known = /^HTTP\/([0-9])\.[0-9]\r\n$/.exec(text)
    // The preface of HTTP/2 is meant for a server that would answer in HTTP/2; here it is garbage (RFC 9113 §3.4).
    if (known === null || known[1] === '0' || this.method === 'PRI') {
      return this.#refuse(400, 'the request line does not end with an HTTP version')
    }
    return this.#refuse(505, 'the HTTP version is not 1.0 or 1.1')
  }

  #readFields(bytes: Buffer, start: number, end: number, maxBytes: number): number {
    const known = this.#known
    this.#bytes = bytes
    this.#fields = null
    this.#fieldsStart = start
    if (known !== null && known.raw !== null && repeats(bytes, start, end, known.raw)) {
      this.#fieldsEnd = start + known.raw.length
      this.#apply(known)
      this.bodyLength = NO_BODY
      this.expectsContinue = false
      return this.#checkVersionRules(known.facts) ? this.#fieldsEnd : -1
    }
    const facts = new FieldFacts()
    const next = this.#section.parse(bytes, start, end, maxBytes, facts)
    if (next < 0) return this.#refuse(this.#section.status, this.#section.reason)
    if (next === 0) return 0
    this.#fieldsEnd = next
    if (!this.#checkFraming(facts)) return -1
    const section = this.#understand(facts)
    if (section === null) return -1
    this.#apply(section)
    if (!this.#checkVersionRules(facts)) return -1
    this.#remember(section, bytes, start, next)
    return next
  }

  /**
   * Speed for memory: a client that repeats its field section octet for octet (most do) is spared the parsing. Only
   * sections without framing or expectation are kept, and only from their second request on, so that a connection
   * of one request pays nothing.
   */
  #remember(section: KnownSection, bytes: Buffer, start: number, next: number): void {
    const plain = this.bodyLength === NO_BODY && section.facts.contentLengthLines === 0
    if (!plain || section.facts.expect !== undefined || next - start > MAX_REMEMBERED_BYTES) return
    if (this.#known !== null) section.raw = Buffer.from(bytes.subarray(start, next))
    this.#known = section
  }

  #apply(section: KnownSection): void {
    this.facts = section.facts
    this.authority = section.authority
    this.unusual = section.unusual
    // RFC 9112 §9.3: HTTP/1.1 persists unless told otherwise, HTTP/1.0 only when asked to.
    this.keepAlive = !section.close && (this.minorVersion === 1 || section.keepAlive)
  }

  /** RFC 9112 §6: one way to find the end of the body, or none. */
  #checkFraming(facts: FieldFacts): boolean {
    this.bodyLength = NO_BODY
    if (facts.transferEncodingLines > 0) {
      if (facts.contentLengthLines > 0) {
        return this.#refused('Content-Length and Transfer-Encoding exclude each other')
      }
      if (facts.transferEncodingLines > 1 || !isChunked(facts.transferEncoding)) {
        return this.#refused("the only Transfer-Encoding understood is 'chunked', once")
      }
      // RFC 9112 §6.1: in HTTP/1.0 its framing is faulty.
      if (this.minorVersion === 0) return this.#refused('HTTP/1.0 has no Transfer-Encoding')
      this.bodyLength = CHUNKED_BODY
      return true
    }
    if (facts.contentLengthLines === 0) return true
    const length = parseContentLength(facts.contentLength ?? '')
    if (facts.contentLengthLines > 1 || length === undefined) {
      return this.#refused('Content-Length is not one decimal number')
    }
    if (length > 0) this.bodyLength = length
    return true
  }

  #understand(facts: FieldFacts): KnownSection | null {
    if (facts.hostLines > 1) {
      this.#refused('there is more than one Host')
      return null
    }
    const authority = facts.host === undefined ? null : parseAuthority(facts.host, this.#scheme)
    if (authority === null && facts.hostLines > 0) {
      this.#refused('Host is not a host name with an optional port')
      return null
    }
    let close = false
    let keepAlive = false
    let unusual = facts.unusual
    if (facts.connection !== undefined) {
      for (const member of listMembers(facts.connection.toLowerCase())) {
        if (member === 'close') close = true
        else if (member === 'keep-alive') keepAlive = true
        else unusual = true
      }
    }
    return { facts, authority: authority?.text ?? '', close, keepAlive, unusual, raw: null }
  }

  #checkVersionRules(facts: FieldFacts): boolean {
    if (this.minorVersion === 0) {
      this.expectsContinue = false
      return true
    }
    if (facts.hostLines === 0) return this.#refused('HTTP/1.1 requires Host')
    this.expectsContinue = facts.expect !== undefined
    if (facts.expect === undefined) return true
    for (const member of listMembers(facts.expect)) {
      // RFC 9110 §10.1.1: the one expectation that is defined.
      if (member.toLowerCase() !== '100-continue') {
        this.#refuse(417, "the only expectation understood is '100-continue'")
        return false
      }
    }
    return true
  }

  #readTarget(bytes: Buffer, start: number, end: number): boolean {
    const text = bytes.latin1Slice(start, end)
    if (this.method === 'CONNECT') {
      this.#refuse(405, 'this server opens no tunnels')
      return false
    }
    if (bytes[start] === 0x2f) {
      const target = normaliseTarget(text)
      if (target === null) return this.#refused('the request target is not a valid path')
      this.target = target
      return true
    }
    const parsed = parseTarget(text, this.method)
    if (parsed.form === 'invalid') return this.#refused(`the request target: ${parsed.reason}`)
    this.target = parsed.form === 'asterisk' ? '*' : parsed.target
    if (parsed.form !== 'absolute') return true
    // RFC 9112 §3.2.2: the target's own authority counts, Host is ignored (it has been checked all the same).
    const authority = parseAuthority(parsed.authority, parsed.scheme)
    if (authority === null) return this.#refused('the request target has no valid authority')
    this.authority = authority.text
    return true
  }

  #refused(reason: string): false {
    this.#refuse(400, reason)
    return false
  }

  #refuse(status: number, reason: string): -1 {
    this.status = status
    this.reason = reason
    return -1
  }
}

const NO_FACTS = new FieldFacts()

function isHost(name: string): boolean {
  return name === 'host'
}

function isChunked(text: string | undefined): boolean {
  return text === 'chunked' || text?.toLowerCase() === 'chunked'
}

function repeats(bytes: Buffer, start: number, end: number, raw: Buffer): boolean {
  return (
    end - start >= raw.length && bytes.compare(raw, 0, raw.length, start, start + raw.length) === 0
  )
}

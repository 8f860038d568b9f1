import { TOKEN_OCTET, VALUE_OCTET } from '../field-syntax.ts'
import type { Fields } from '../fields.ts'
import type { FieldSection } from './field-section.ts'
import { CHUNKED_BODY } from './framing.ts'
import { hasLineFeed } from './input-buffer.ts'

const SIZE_FIRST = 0
const SIZE = 1
const AFTER_SIZE = 2
const EXTENSION_START = 3
const EXTENSION_NAME = 4
const AFTER_EXTENSION_NAME = 5
const EXTENSION_VALUE_START = 6
const EXTENSION_VALUE = 7
const QUOTED = 8
const QUOTED_PAIR = 9
const QUOTED_END = 10
const SIZE_LF = 11
const DATA = 12
const DATA_CR = 13
const DATA_LF = 14
const TRAILERS = 15
const DONE = 16

/** Chunk extensions of one message, bytes: they mean nothing to us, so few are enough (RFC 9112 §7.1.1). */
const MAX_EXTENSION_BYTES = 16 * 1024
const MAX_SIZE_DIGITS = 16

/** -1, or the value of a hexadecimal digit. */
const HEX = new Int8Array(256).fill(-1)
for (let i = 0; i < 16; i++) {
  HEX[i.toString(16).charCodeAt(0)] = i
  HEX[i.toString(16).toUpperCase().charCodeAt(0)] = i
}

/**
 * Takes one request body out of the input: a counted one, or chunks (RFC 9112 §6.2, §7.1) by the letter of their
 * grammar, since every leniency here is somebody's request smuggling. Octets of the content are found, not copied.
 */
export class BodyDecoder {
  /** The stretch of content that the last `step` found; empty when it found none. */
  dataStart = 0
  dataEnd = 0
  done = false
  /** Why the framing is broken; null while it is sound. */
  broken: string | null = null
  trailers: Fields | null = null
  readonly #section: FieldSection
  readonly #maxTrailerBytes: number
  readonly #chunked: boolean
  #state: number
  #remaining: number
  #digits = 0
  #extensionBytes = 0
  #trailerBytesSeen = 0

  /** `bodyLength` as the reader of the head gives it, but for NO_BODY. */
  constructor(bodyLength: number, section: FieldSection, maxTrailerBytes: number) {
    this.#section = section
    this.#maxTrailerBytes = maxTrailerBytes
    this.#chunked = bodyLength === CHUNKED_BODY
    this.#state = this.#chunked ? SIZE_FIRST : DATA
    this.#remaining = this.#chunked ? 0 : bodyLength
  }

  /** Octets of content that are still to come, at least. */
  get knownRemaining(): number {
    return this.#remaining
  }

  /**
   * Reads on from `start` and returns where it stopped: after some content, at the end of the body, at an error, or
   * for want of input. Only in the last case is calling it again with the same input pointless.
   */
  step(bytes: Buffer, start: number, end: number): number {
    this.dataStart = 0
    this.dataEnd = 0
    let at = start
    while (at < end) {
      if (this.#state === DATA) return this.#takeData(at, end)
      if (this.#state === TRAILERS) return this.#takeTrailers(bytes, at, end)
      if (this.#state === DONE) return at
      this.#state = this.#takeOctet(bytes[at])
      if (this.broken !== null) return at
      at++
    }
    return at
  }

  #takeData(at: number, end: number): number {
    const length = Math.min(end - at, this.#remaining)
    this.dataStart = at
    this.dataEnd = at + length
    this.#remaining -= length
    if (this.#remaining === 0) {
      if (this.#chunked) this.#state = DATA_CR
      else this.#finish()
    }
    return at + length
  }

  /** The trailer section stays in the input until it is whole, and is not read again before another line has come. */
  #takeTrailers(bytes: Buffer, at: number, end: number): number {
    const seen = this.#trailerBytesSeen
    const bound = end - at > this.#maxTrailerBytes
    if (seen > 0 && !bound && !hasLineFeed(bytes, at + seen, end)) {
      this.#trailerBytesSeen = end - at
      return at
    }
    const next = this.#section.parse(bytes, at, end, this.#maxTrailerBytes, null)
    if (next < 0) {
      this.broken = `trailers: ${this.#section.reason}`
      return at
    }
    if (next === 0) {
      this.#trailerBytesSeen = end - at
      return at
    }
    if (this.#section.count > 0) this.trailers = this.#section.toFields(bytes, isForbiddenTrailer)
    this.#finish()
    return next
  }

  #finish(): void {
    this.#state = DONE
    this.done = true
  }

  #takeOctet(octet: number): number {
    const state = this.#state
    switch (state) {
      case SIZE_FIRST:
      case SIZE:
        return this.#takeSizeOctet(octet)
      case SIZE_LF:
        if (octet !== 0x0a) return this.#fail('a chunk size is not followed by CRLF')
        if (this.#remaining > 0) return DATA
        return TRAILERS
      case DATA_CR:
        if (octet !== 0x0d) return this.#fail('a chunk is longer than its size says')
        return DATA_LF
      case DATA_LF:
        if (octet !== 0x0a) return this.#fail('a chunk is not followed by CRLF')
        this.#digits = 0
        return SIZE_FIRST
      default:
        if (++this.#extensionBytes > MAX_EXTENSION_BYTES) {
          return this.#fail('the chunk extensions are more than this server takes')
        }
        return this.#takeExtensionOctet(state, octet)
    }
  }

  #takeSizeOctet(octet: number): number {
    const digit = HEX[octet]
    if (digit >= 0) {
      const size = this.#remaining * 16 + digit
      if (++this.#digits > MAX_SIZE_DIGITS || size > Number.MAX_SAFE_INTEGER) {
        return this.#fail('a chunk size is too large')
      }
      this.#remaining = size
      return SIZE
    }
    if (this.#digits === 0) return this.#fail('a chunk size is not a hexadecimal number')
    return this.#afterSize(octet)
  }

  /** What may follow a size or a whole extension: white space that another extension must follow, `;`, or the end. */
  #afterSize(octet: number): number {
    if (octet === 0x0d) return SIZE_LF
    if (octet === 0x3b) return EXTENSION_START
    if (octet === 0x20 || octet === 0x09) return AFTER_SIZE
    return this.#fail('a chunk size is followed by something else than an extension or CRLF')
  }

  /** chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 §7.1.1 */
  #takeExtensionOctet(state: number, octet: number): number {
    const blank = octet === 0x20 || octet === 0x09
    const token = TOKEN_OCTET[octet] === 1
    switch (state) {
      case AFTER_SIZE:
        if (blank) return state
        if (octet === 0x3b) return EXTENSION_START
        break
      case EXTENSION_START:
        if (blank) return state
        if (token) return EXTENSION_NAME
        break
      case EXTENSION_NAME:
        if (token) return state
        if (octet === 0x3d) return EXTENSION_VALUE_START
        if (blank) return AFTER_EXTENSION_NAME
        return this.#afterSize(octet)
      case AFTER_EXTENSION_NAME:
        if (blank) return state
        if (octet === 0x3d) return EXTENSION_VALUE_START
        if (octet === 0x3b) return EXTENSION_START
        break
      case EXTENSION_VALUE_START:
        if (blank) return state
        if (token) return EXTENSION_VALUE
        if (octet === 0x22) return QUOTED
        break
      case EXTENSION_VALUE:
        if (token) return state
        return this.#afterSize(octet)
      case QUOTED:
        if (octet === 0x22) return QUOTED_END
        if (octet === 0x5c) return QUOTED_PAIR
        if (VALUE_OCTET[octet] === 1) return state
        break
      case QUOTED_PAIR:
        if (VALUE_OCTET[octet] === 1) return QUOTED
        break
      default:
        return this.#afterSize(octet)
    }
    return this.#fail('a chunk extension is malformed')
  }

  #fail(reason: string): number {
    this.broken = reason
    return this.#state
  }
}

/** Fields that would change framing, routing, authentication or content after the fact (RFC 9110 §6.5.1). */
const FORBIDDEN_TRAILERS = new Set(
  `age authorization cache-control connection content-encoding content-length content-range content-type cookie date
  expect expires forwarded host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive
  location max-forwards pragma proxy-authenticate proxy-authorization proxy-connection range retry-after set-cookie te
  trailer transfer-encoding upgrade vary via www-authenticate x-forwarded-for x-forwarded-host x-forwarded-proto`.split(
    /\s+/,
  ),
)

export function isForbiddenTrailer(name: string): boolean {
  return FORBIDDEN_TRAILERS.has(name)
}

import { TOKEN_OCTET, VALUE_OCTET } from '../field-syntax.ts'
import { Fields } from '../fields.ts'

/** What a request says about itself in the fields that the transport must understand, text as received. */
export class FieldFacts {
  host: string | undefined = undefined
  hostLines = 0
  contentLength: string | undefined = undefined
  contentLengthLines = 0
  transferEncoding: string | undefined = undefined
  transferEncodingLines = 0
  connection: string | undefined = undefined
  expect: string | undefined = undefined
  acceptEncoding: string | undefined = undefined
  ifNoneMatch: string | undefined = undefined
  ifModifiedSince: string | undefined = undefined
  /** A field that always needs the general door (`RequestView.unusual`). */
  unusual = false
}

const HOST = 1
const CONTENT_LENGTH = 2
const TRANSFER_ENCODING = 3
const CONNECTION = 4
const EXPECT = 5
const ACCEPT_ENCODING = 6
const IF_NONE_MATCH = 7
const IF_MODIFIED_SINCE = 8
const TE = 9
const UNUSUAL = 10

interface KnownName {
  readonly name: string
  readonly kind: number
}

/** Token octets in lower case, 0 for every other octet. */
const NAME_OCTET = new Uint8Array(256)
for (let octet = 0; octet < 256; octet++) {
  if (TOKEN_OCTET[octet] === 1) NAME_OCTET[octet] = octet >= 65 && octet <= 90 ? octet + 32 : octet
}

const KNOWN = new Map<number, KnownName>()
know(HOST, 'host')
know(CONTENT_LENGTH, 'content-length')
know(TRANSFER_ENCODING, 'transfer-encoding')
know(CONNECTION, 'connection')
know(EXPECT, 'expect')
know(ACCEPT_ENCODING, 'accept-encoding')
know(IF_NONE_MATCH, 'if-none-match')
know(IF_MODIFIED_SINCE, 'if-modified-since')
know(TE, 'te')
know(UNUSUAL, 'range if-range if-match if-unmodified-since cache-control pragma upgrade')
// Without a meaning here, but so common that their text is shared instead of made anew for each request.
know(
  0,
  `accept accept-charset accept-language authorization content-encoding content-type cookie date dnt forwarded from
  keep-alive max-forwards origin priority proxy-authorization proxy-connection referer sec-ch-ua sec-ch-ua-mobile
  sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc traceparent tracestate trailer
  upgrade-insecure-requests user-agent via x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip
  x-request-id x-requested-with`,
)
// Of responses, which are stored by the million.
know(
  0,
  `accept-ranges access-control-allow-origin age alt-svc cache-tag cdn-cache-control content-disposition
  content-language content-security-policy content-range etag expires last-modified link location nel referrer-policy
  report-to server server-timing set-cookie strict-transport-security surrogate-control surrogate-key
  timing-allow-origin vary x-cache x-content-type-options x-frame-options x-powered-by x-xss-protection`,
)

/**
 * The strict reader of field lines (RFC 9112 §5), for heads and trailers: CRLF alone ends a line; folding, controls, space
 * before the colon and names that are no token are refused. It notes where names and values stand, and makes strings
 * of them only when asked. One is shared by many connections, so results are valid until the next `parse`.
 */
export class FieldSection {
  count = 0
  /** Of the refusal, when `parse` returned -1. */
  status = 0
  reason = ''
  readonly #maxCount: number
  /** Four per line: start and end of the name, start and end of the value. */
  readonly #marks: Int32Array
  readonly #known: (KnownName | undefined)[]
  #parsed: Buffer | null = null
  #parsedStart = 0

  constructor(maxCount: number) {
    this.#maxCount = maxCount
    this.#marks = new Int32Array(maxCount * 4)
    this.#known = new Array(maxCount).fill(undefined)
  }

  /** Where the octet after the empty line stands; 0 when more bytes are needed, -1 when the section is refused. */
  parse(
    bytes: Buffer,
    start: number,
    end: number,
    maxBytes: number,
    facts: FieldFacts | null,
  ): number {
    const marks = this.#marks
    this.#parsed = null
    let at = start
    let count = 0
    for (;;) {
      if (at - start > maxBytes) return this.#tooLarge()
      if (at >= end) return 0
      if (bytes[at] === 0x0d) {
        if (at + 1 >= end) return 0
        if (bytes[at + 1] !== 0x0a) return this.#malformed('a bare CR stands in the fields')
        this.count = count
        this.#parsed = bytes
        this.#parsedStart = start
        return at + 2
      }
      const nameStart = at
      let hash = 0
      let octet = 0
      while (at < end && (octet = NAME_OCTET[bytes[at]]) !== 0) {
        hash = (Math.imul(hash, 31) + octet) | 0
        at++
      }
      if (at >= end) return end - start > maxBytes ? this.#tooLarge() : 0
      if (bytes[at] !== 0x3a || at === nameStart) return this.#badName(bytes[at], at === nameStart)
      const nameEnd = at++
      while (at < end && (bytes[at] === 0x20 || bytes[at] === 0x09)) at++
      const valueStart = at
      while (at < end && VALUE_OCTET[bytes[at]] === 1) at++
      if (at >= end || (at + 1 >= end && bytes[at] === 0x0d)) {
        return end - start > maxBytes ? this.#tooLarge() : 0
      }
      if (bytes[at] !== 0x0d || bytes[at + 1] !== 0x0a) {
        return this.#malformed('a control character stands in a field value')
      }
      if (count === this.#maxCount) return this.#tooLarge()
      let valueEnd = at
      while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1])) valueEnd--
      const mark = count * 4
      marks[mark] = nameStart
      marks[mark + 1] = nameEnd
      marks[mark + 2] = valueStart
      marks[mark + 3] = valueEnd
      const candidate = KNOWN.get(hash)
      const known =
        candidate !== undefined && isName(bytes, nameStart, nameEnd, candidate.name)
          ? candidate
          : undefined
      this.#known[count++] = known
      if (known !== undefined && known.kind !== 0 && facts !== null) {
        note(facts, known.kind, bytes.latin1Slice(valueStart, valueEnd))
      }
      at += 2
    }
  }

  /** True when the last section parsed is the one that stands there: input is never overwritten in place. */
  holds(bytes: Buffer, start: number): boolean {
    return this.#parsed === bytes && this.#parsedStart === start
  }

  /** The fields of the section just parsed from `bytes`, without those that `omit` names. */
  toFields(bytes: Buffer, omit: (name: string) => boolean): Fields {
    const list: string[] = []
    const marks = this.#marks
    for (let i = 0; i < this.count; i++) {
      const mark = i * 4
      const name =
        this.#known[i]?.name ?? bytes.latin1Slice(marks[mark], marks[mark + 1]).toLowerCase()
      if (!omit(name)) list.push(name, bytes.latin1Slice(marks[mark + 2], marks[mark + 3]))
    }
    return new Fields(list)
  }

  #badName(octet: number, empty: boolean): number {
    if (octet === 0x20 || octet === 0x09) {
      return this.#malformed(
        empty ? 'a line begins with white space' : 'white space stands before the colon of a field',
      )
    }
    return this.#malformed('a field name is not a token followed by a colon')
  }

  #malformed(reason: string): number {
    this.status = 400
    this.reason = reason
    return -1
  }

  #tooLarge(): number {
    this.status = 431
    this.reason = 'the fields are more than this server takes'
    return -1
  }
}

function note(facts: FieldFacts, kind: number, value: string): void {
  switch (kind) {
    case HOST:
      facts.host = value
      facts.hostLines++
      break
    case CONTENT_LENGTH:
      facts.contentLength = value
      facts.contentLengthLines++
      break
    case TRANSFER_ENCODING:
      facts.transferEncoding = value
      facts.transferEncodingLines++
      break
    case CONNECTION:
      facts.connection = joined(facts.connection, value)
      break
    case EXPECT:
      facts.expect = joined(facts.expect, value)
      facts.unusual = true
      break
    case ACCEPT_ENCODING:
      facts.acceptEncoding = joined(facts.acceptEncoding, value)
      break
    case IF_NONE_MATCH:
      facts.ifNoneMatch = joined(facts.ifNoneMatch, value)
      break
    case IF_MODIFIED_SINCE:
      facts.ifModifiedSince = joined(facts.ifModifiedSince, value)
      break
    case TE:
      if (value.toLowerCase() !== 'trailers') facts.unusual = true
      break
    default:
      facts.unusual = true
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`
}

function isBlank(octet: number): boolean {
  return octet === 0x20 || octet === 0x09
}

function isName(bytes: Buffer, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false
  for (let i = 0; i < name.length; i++) {
    if (NAME_OCTET[bytes[start + i]] !== name.charCodeAt(i)) return false
  }
  return true
}

function know(kind: number, names: string): void {
  for (const name of names.split(/\s+/)) {
    let hash = 0
    for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0
    if (KNOWN.has(hash)) throw new Error(`field names '${name}' and another share one hash`)
    KNOWN.set(hash, { name, kind })
  }
}

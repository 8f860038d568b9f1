import { parseAuthority } from '../../http/authority.ts'
import { isToken } from '../../http/field-syntax.ts'
import { Fields } from '../../http/fields.ts'
import { parseTarget } from '../../http/request-target.ts'
import type { RequestHead, RequestView } from '../exchange.ts'
import type { TransportLimits } from '../limits.ts'
import { type FieldLine, KIND, LAST_PSEUDO_KIND } from './field-line.ts'
import type { FieldLineSink } from './hpack-decoder.ts'
import { DEFAULT_PRIORITY, type Priority, parsePriority } from './priority.ts'
import {
  BAD_AUTHORITY,
  BAD_CONNECT,
  BAD_PATH,
  CONNECT_PROTOCOL_OFF,
  HOST_DIFFERS,
  INVALID_LINE,
  NO_METHOD,
  NO_PATH,
  NO_SCHEME,
  PLAIN_CONNECT,
  PSEUDO_AFTER_REGULAR,
  PSEUDO_IN_TRAILERS,
  PSEUDO_TWICE,
  type RequestFault,
  SECTION_TOO_LARGE,
  TARGET_TOO_LONG,
  TWO_HOSTS,
  TWO_LENGTHS,
} from './request-faults.ts'

/** Beyond this many times the limit the section is not even decoded to its end. */
const HARD_LIMIT_FACTOR = 2

/**
 * Collects the lines of one field section, finds the request well-formed or not (RFC 9113 §8.2, §8.3), and is then the
 * view that the front door looks at. One per connection, reused.
 */
export class RequestBuilder implements FieldLineSink, RequestView {
  readonly scheme: 'http' | 'https'
  readonly httpVersion = '2'
  authority = ''
  target = ''
  acceptEncoding: string | undefined = undefined
  ifNoneMatch: string | undefined = undefined
  ifModifiedSince: string | undefined = undefined
  unusual = false
  methodText = ''
  /** -1 when absent. */
  contentLength = -1
  priority: Priority = DEFAULT_PRIORITY
  /** Why the request is refused, null while nothing is wrong. */
  fault: RequestFault | null = null
  readonly #limits: TransportLimits
  readonly #connectProtocol: boolean
  readonly #lines: FieldLine[] = []
  #lineCount = 0
  #bytes = 0
  #trailers = false
  #regularSeen = false
  #schemeText = ''
  #path: FieldLine | null = null
  #authorityLine: FieldLine | null = null
  #host: FieldLine | null = null
  #protocol: string | null = null
  #crumbs = 0
  #fields: Fields | null = null

  constructor(secure: boolean, limits: TransportLimits, connectProtocol: boolean) {
    this.scheme = secure ? 'https' : 'http'
    this.#limits = limits
    this.#connectProtocol = connectProtocol
  }

  /** Forgets the section before. */
  begin(trailers: boolean): void {
    this.#lineCount = 0
    this.authority = ''
    this.target = ''
    this.acceptEncoding = undefined
    this.ifNoneMatch = undefined
    this.ifModifiedSince = undefined
    this.unusual = false
    this.methodText = ''
    this.contentLength = -1
    this.priority = DEFAULT_PRIORITY
    this.fault = null
    this.#bytes = 0
    this.#trailers = trailers
    this.#regularSeen = false
    this.#schemeText = ''
    this.#path = null
    this.#authorityLine = null
    this.#host = null
    this.#protocol = null
    this.#crumbs = 0
    this.#fields = null
  }

  add(line: FieldLine): boolean {
    this.#bytes += line.size
    if (
      this.#bytes > this.#limits.maxHeaderBytes ||
      this.#lineCount >= this.#limits.maxHeaderCount
    ) {
      this.#addBeyondLimit()
      return (
        this.#bytes <= this.#limits.maxHeaderBytes * HARD_LIMIT_FACTOR &&
        this.#lineCount <= this.#limits.maxHeaderCount * HARD_LIMIT_FACTOR
      )
    }
    if (!line.valid) this.fault ??= INVALID_LINE
    const kind = line.kind
    if (kind === KIND.ordinary) {
      this.#regularSeen = true
      this.#lines[this.#lineCount++] = line
    } else if (kind <= LAST_PSEUDO_KIND) this.#addPseudo(kind, line)
    else this.#addKnown(kind, line)
    return true
  }

  /** After the last line of a request: true when it is well-formed; else `fault` says why not. */
  complete(): boolean {
    this.fault ??= this.#judge()
    return this.fault === null
  }

  /** Only asked when the method is one of the two. */
  get method(): 'GET' | 'HEAD' {
    return this.methodText === 'HEAD' ? 'HEAD' : 'GET'
  }

  /** Everything but pseudo-fields and Host; crumbs of Cookie joined (RFC 9113 §8.2.3). */
  get fields(): Fields {
    return (this.#fields ??= this.#makeFields())
  }

  head(): RequestHead {
    return {
      method: this.methodText,
      scheme: this.scheme,
      authority: this.authority,
      target: this.target,
      httpVersion: '2',
      fields: this.fields,
    }
  }

  /** Lines that do not fit are only counted: their stream gets its 431 and the table stays in step. */
  #addBeyondLimit(): void {
    this.#lineCount++
    this.fault ??= SECTION_TOO_LARGE
  }

  #addPseudo(kind: number, line: FieldLine): void {
    if (this.#trailers) this.fault ??= PSEUDO_IN_TRAILERS
    else if (this.#regularSeen) this.fault ??= PSEUDO_AFTER_REGULAR
    else if (!this.#takePseudo(kind, line)) this.fault ??= PSEUDO_TWICE
  }

  #takePseudo(kind: number, line: FieldLine): boolean {
    switch (kind) {
      case KIND.method: {
        const first = this.methodText === ''
        this.methodText = line.value
        return first
      }
      case KIND.scheme: {
        const first = this.#schemeText === ''
        this.#schemeText = line.value
        return first
      }
      case KIND.path: {
        const first = this.#path === null
        this.#path = line
        return first
      }
      case KIND.authority: {
        const first = this.#authorityLine === null
        this.#authorityLine = line
        return first
      }
      default: {
        const first = this.#protocol === null
        this.#protocol = line.value
        return first
      }
    }
  }

  #addKnown(kind: number, line: FieldLine): void {
    this.#regularSeen = true
    const value = line.value
    switch (kind) {
      case KIND.host:
        if (this.#host !== null) this.fault ??= TWO_HOSTS
        this.#host = line
        return
      case KIND.contentLength:
        // Framing in a trailer says nothing any more (RFC 9110 §6.5.1).
        if (this.#trailers) return
        if (this.contentLength >= 0) this.fault ??= TWO_LENGTHS
        this.contentLength = Number(value)
        break
      case KIND.acceptEncoding:
        this.acceptEncoding = joined(this.acceptEncoding, value)
        break
      case KIND.ifNoneMatch:
        this.ifNoneMatch = joined(this.ifNoneMatch, value)
        break
      case KIND.ifModifiedSince:
        this.ifModifiedSince = joined(this.ifModifiedSince, value)
        break
      case KIND.priority:
        this.priority = parsePriority(value)
        break
      case KIND.cookie:
        this.#crumbs++
        break
      case KIND.expect:
      case KIND.unusual:
        this.unusual = true
        break
    }
    this.#lines[this.#lineCount++] = line
  }

  #judge(): RequestFault | null {
    if (!isToken(this.methodText)) return NO_METHOD
    if (this.methodText === 'CONNECT' || this.#protocol !== null) {
      const problem = this.#judgeConnect()
      if (problem !== null) return problem
    }
    // The scheme that counts is the connection's: a client behind a TLS terminator of its own may well say the other.
    if (this.#schemeText !== 'https' && this.#schemeText !== 'http') return NO_SCHEME
    return this.#judgePath() ?? this.#judgeAuthority()
  }

  /** RFC 9113 §8.5, RFC 8441 §4: only the extended form goes on, as a request like others. */
  #judgeConnect(): RequestFault | null {
    if (this.#protocol !== null) {
      if (this.methodText !== 'CONNECT') return BAD_CONNECT
      return this.#connectProtocol ? null : CONNECT_PROTOCOL_OFF
    }
    const wellFormed =
      this.#path === null && this.#schemeText === '' && this.#authorityLine !== null
    return wellFormed ? PLAIN_CONNECT : BAD_CONNECT
  }

  #judgePath(): RequestFault | null {
    const path = this.#path
    if (path === null) return NO_PATH
    if (path.value.length > this.#limits.maxTargetBytes) return TARGET_TOO_LONG
    if (path.canonical === undefined) path.canonical = canonicalPath(path.value)
    if (path.canonical === null) {
      if (path.value !== '*' || this.methodText !== 'OPTIONS') return BAD_PATH
      this.target = '*'
    } else this.target = path.canonical
    return null
  }

  #judgeAuthority(): RequestFault | null {
    const line = this.#authorityLine ?? this.#host
    if (line === null) return BAD_AUTHORITY
    const authority = this.#canonicalAuthority(line)
    if (authority === null) return BAD_AUTHORITY
    // RFC 9113 §8.3.1: two names for one request are one too many.
    if (
      this.#host !== null &&
      this.#host !== line &&
      this.#canonicalAuthority(this.#host) !== authority
    ) {
      return HOST_DIFFERS
    }
    this.authority = authority
    return null
  }

  #canonicalAuthority(line: FieldLine): string | null {
    if (line.canonical === undefined) {
      line.canonical = parseAuthority(line.value, this.scheme)?.text ?? null
    }
    return line.canonical
  }

  #makeFields(): Fields {
    const list: string[] = []
    let cookie = -1
    for (let i = 0; i < this.#lineCount; i++) {
      const line = this.#lines[i]
      if (line.kind === KIND.cookie && this.#crumbs > 1) {
        if (cookie >= 0) {
          list[cookie] += `; ${line.value}`
          continue
        }
        cookie = list.length + 1
      }
      list.push(line.name, line.value)
    }
    if (this.#protocol !== null) list.push(':protocol', this.#protocol)
    return new Fields(list)
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`
}

/** Of an origin-form path; every other form is none for HTTP/2 (RFC 9113 §8.3.1). */
function canonicalPath(text: string): string | null {
  if (text.charCodeAt(0) !== 0x2f) return null
  const parsed = parseTarget(text, 'GET')
  return parsed.form === 'origin' ? parsed.target : null
}

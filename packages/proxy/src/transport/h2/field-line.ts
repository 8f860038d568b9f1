import { isFieldValue, parseContentLength, TOKEN_OCTET } from '../../http/field-syntax.ts'

/** What a request line of the field section is to us; everything that needs no attention is `ordinary`. */
export const KIND = {
  ordinary: 0,
  method: 1,
  scheme: 2,
  path: 3,
  authority: 4,
  /** RFC 8441 §4 */
  protocol: 5,
  host: 6,
  contentLength: 7,
  te: 8,
  cookie: 9,
  acceptEncoding: 10,
  ifNoneMatch: 11,
  ifModifiedSince: 12,
  /** RFC 9218 §5 */
  priority: 13,
  expect: 14,
  /** Always a matter for the general door (`RequestView.unusual`). */
  unusual: 15,
  /** Not allowed in HTTP/2 (RFC 9113 §8.2.2, §8.3). */
  forbidden: 16,
} as const

/** Pseudo-fields have the kinds from `method` to this. */
export const LAST_PSEUDO_KIND = KIND.protocol

const KIND_BY_NAME = new Map<string, number>([
  [':method', KIND.method],
  [':scheme', KIND.scheme],
  [':path', KIND.path],
  [':authority', KIND.authority],
  [':protocol', KIND.protocol],
  ['host', KIND.host],
  ['content-length', KIND.contentLength],
  ['te', KIND.te],
  ['cookie', KIND.cookie],
  ['accept-encoding', KIND.acceptEncoding],
  ['if-none-match', KIND.ifNoneMatch],
  ['if-modified-since', KIND.ifModifiedSince],
  ['priority', KIND.priority],
  ['expect', KIND.expect],
  ['range', KIND.unusual],
  ['if-range', KIND.unusual],
  ['if-match', KIND.unusual],
  ['if-unmodified-since', KIND.unusual],
  ['cache-control', KIND.unusual],
  ['pragma', KIND.unusual],
  ['connection', KIND.forbidden],
  ['keep-alive', KIND.forbidden],
  ['proxy-connection', KIND.forbidden],
  ['transfer-encoding', KIND.forbidden],
  ['upgrade', KIND.forbidden],
])

/** RFC 7541 §4.1: what a line costs in a dynamic table and in SETTINGS_MAX_HEADER_LIST_SIZE. */
const LINE_OVERHEAD_BYTES = 32

/**
 * One decoded field line with everything that can be said about it alone. A line in the dynamic table is judged when it
 * is inserted, not each time a request refers to it: that is most of the lines of most requests.
 */
export class FieldLine {
  readonly name: string
  readonly value: string
  readonly kind: number
  /** Bytes, by RFC 7541 §4.1. */
  readonly size: number
  /** Name and value may stand in an HTTP/2 request. */
  readonly valid: boolean
  /** The canonical form of a :path or an authority, null when it has none, undefined until somebody asked. */
  canonical: string | null | undefined

  constructor(name: string, value: string) {
    this.name = name
    this.value = value
    this.size = name.length + value.length + LINE_OVERHEAD_BYTES
    this.kind = kindOf(name)
    this.valid = isValid(this.kind, name, value)
    this.canonical = undefined
  }
}

function kindOf(name: string): number {
  const kind = KIND_BY_NAME.get(name)
  if (kind !== undefined) return kind
  return name.charCodeAt(0) === 0x3a ? KIND.forbidden : KIND.ordinary
}

function isValid(kind: number, name: string, value: string): boolean {
  if (!isFieldValue(value)) return false
  if (kind === KIND.ordinary) return isLowerCaseToken(name)
  if (kind === KIND.forbidden) return false
  // RFC 9113 §8.2.2; a list is not worth reading for one legal member.
  if (kind === KIND.te) return value === 'trailers'
  if (kind === KIND.contentLength) return parseContentLength(value) !== undefined
  return true
}

/** RFC 9113 §8.2.1 */
function isLowerCaseToken(name: string): boolean {
  if (name.length === 0) return false
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    // Names are decoded one char per byte, so `code` is an octet.
    if (TOKEN_OCTET[code] === 0 || (code >= 0x41 && code <= 0x5a)) return false
  }
  return true
}

/**
 * Cache-Control (RFC 9111 §5.2), of requests and responses, parsed once into slots.
 *
 * What is malformed is read in the way that stores or reuses less: a freshness argument that is no delta-seconds counts
 * as 0 (RFC 9111 §4.2.1 asks for "stale"); of duplicates the first counts; names match in any letter case.
 */
export interface CacheControl {
  readonly noStore: boolean
  /** true, or the field names of the qualified form (RFC 9111 §5.2.2.4). */
  readonly noCache: boolean | readonly string[]
  /** true, or the field names of the qualified form (RFC 9111 §5.2.2.7). */
  readonly private: boolean | readonly string[]
  readonly public: boolean
  readonly mustRevalidate: boolean
  readonly proxyRevalidate: boolean
  readonly mustUnderstand: boolean
  readonly noTransform: boolean
  readonly immutable: boolean
  readonly onlyIfCached: boolean
  readonly maxAgeSeconds: number | undefined
  readonly sMaxAgeSeconds: number | undefined
  /** Number.POSITIVE_INFINITY for the form without a value. */
  readonly maxStaleSeconds: number | undefined
  readonly minFreshSeconds: number | undefined
  readonly staleWhileRevalidateSeconds: number | undefined
  readonly staleIfErrorSeconds: number | undefined
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** RFC 9111 §1.2.2: the greatest value that a cache must be able to hold; what is above counts as this. */
export const MAX_DELTA_SECONDS = 2_147_483_648

export const NO_DIRECTIVES: CacheControl = Object.freeze(empty())

function empty(): Mutable<CacheControl> {
  return {
    noStore: false,
    noCache: false,
    private: false,
    public: false,
    mustRevalidate: false,
    proxyRevalidate: false,
    mustUnderstand: false,
    noTransform: false,
    immutable: false,
    onlyIfCached: false,
    maxAgeSeconds: undefined,
    sMaxAgeSeconds: undefined,
    maxStaleSeconds: undefined,
    minFreshSeconds: undefined,
    staleWhileRevalidateSeconds: undefined,
    staleIfErrorSeconds: undefined,
  }
}

export function parseCacheControl(value: string | undefined): CacheControl {
  if (value === undefined || value === '') return NO_DIRECTIVES
  const result = empty()
  for (const [name, argument] of directives(value)) apply(result, name, argument)
  return result
}

/** Name in lower case and argument, unquoted; undefined when there is no `=`. */
function* directives(value: string): Generator<[string, string | undefined]> {
  // One directive: what is neither comma nor quote, or a quoted string with its escapes.
  const member = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g
  for (let match = member.exec(value); match !== null; match = member.exec(value)) {
    const text = match[0].trim()
    if (text === '') continue
    const equals = text.indexOf('=')
    if (equals < 0) yield [text.toLowerCase(), undefined]
    else {
      // A space around `=` is not in the grammar; the name is still recognised, its argument then is not valid.
      const name = text.slice(0, equals)
      const argument = text.slice(equals + 1)
      const spaced = name.endsWith(' ') || name.endsWith('\t')
      yield [name.trim().toLowerCase(), spaced ? ' ' : unquote(argument)]
    }
  }
}

function unquote(text: string): string {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text
  return text.slice(1, -1).replace(/\\(.)/g, '$1')
}

function apply(result: Mutable<CacheControl>, name: string, argument: string | undefined): void {
  switch (name) {
    case 'no-store':
      result.noStore = true
      break
    case 'no-cache':
      result.noCache = qualified(result.noCache, argument)
      break
    case 'private':
      result.private = qualified(result.private, argument)
      break
    case 'public':
      result.public = true
      break
    case 'must-revalidate':
      result.mustRevalidate = true
      break
    case 'proxy-revalidate':
      result.proxyRevalidate = true
      break
    case 'must-understand':
      result.mustUnderstand = true
      break
    case 'no-transform':
      result.noTransform = true
      break
    case 'immutable':
      result.immutable = true
      break
    case 'only-if-cached':
      result.onlyIfCached = true
      break
    case 'max-age':
      result.maxAgeSeconds ??= deltaSeconds(argument) ?? 0
      break
    case 's-maxage':
      result.sMaxAgeSeconds ??= deltaSeconds(argument) ?? 0
      break
    case 'max-stale':
      // Only the form without any argument is "any age"; a broken argument allows nothing.
      result.maxStaleSeconds ??=
        argument === undefined ? Number.POSITIVE_INFINITY : (deltaSeconds(argument) ?? 0)
      break
    case 'min-fresh':
      result.minFreshSeconds ??= deltaSeconds(argument) ?? MAX_DELTA_SECONDS
      break
    case 'stale-while-revalidate':
      result.staleWhileRevalidateSeconds ??= deltaSeconds(argument) ?? 0
      break
    case 'stale-if-error':
      result.staleIfErrorSeconds ??= deltaSeconds(argument) ?? 0
      break
  }
}

/** The unqualified form wins over any qualified one; an empty list restricts everything. */
function qualified(
  current: boolean | readonly string[],
  argument: string | undefined,
): boolean | readonly string[] {
  if (argument === undefined || current === true) return true
  const names = argument
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  if (names.length === 0) return true
  return current === false ? names : [...current, ...names]
}

/** RFC 9111 §1.2.2: digits alone; capped instead of overflowing. */
export function deltaSeconds(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]+$/.test(text)) return undefined
  return Math.min(Number(text), MAX_DELTA_SECONDS)
}

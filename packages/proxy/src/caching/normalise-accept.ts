import { listMembers } from '../http/field-syntax.ts'

/**
 * Accept-Encoding and Accept-Language by meaning (RFC 9110 §12.5.3, §12.5.4), as one canonical text, so that two
 * requests that ask for the same get the same variant.
 */

/** Codings that an origin or this cache can produce. Anything else a client names cannot change the answer. */
const CODINGS = ['identity', '*', 'gzip', 'deflate', 'br', 'zstd', 'compress', 'dcb', 'dcz']

const MAX_MEMO = 1024
const encodings = new Map<string, string>()
const languages = new Map<string, string>()

/** Known codings, best first, those of equal weight in a fixed order; unknown ones left out. */
export function normaliseAcceptEncoding(value: string): string {
  return memoised(encodings, value, () => {
    const weights = new Map<string, number>()
    for (const { name, weight } of weighted(value)) {
      const coding = name === 'x-gzip' ? 'gzip' : name
      if (CODINGS.includes(coding) && !weights.has(coding)) weights.set(coding, weight)
    }
    return [...weights]
      .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
      .map(([name, weight]) => written(name, weight))
      .join(',')
  })
}

/** True when every member is a known coding, so that the origin may be shown the field as it came. */
export function hasOnlyKnownCodings(value: string): boolean {
  return weighted(value).every(({ name }) => CODINGS.includes(name) || name === 'x-gzip')
}

/**
 * Language ranges in lower case, best first, those of equal weight in alphabetical order: RFC 9110 §12.5.4 gives their
 * order no meaning that could be relied upon.
 */
export function normaliseAcceptLanguage(value: string): string {
  return memoised(languages, value, () =>
    weighted(value)
      .sort((a, b) => b.weight - a.weight || (a.name < b.name ? -1 : 1))
      .map(({ name, weight }) => written(name, weight))
      .join(','),
  )
}

/** True when exactly this language is the one the client likes best, with no equal beside it. */
export function prefersLanguage(accepted: string | undefined, language: string): boolean {
  if (accepted === undefined) return false
  const [best, second] = weighted(accepted).sort((a, b) => b.weight - a.weight)
  if (best === undefined || best.weight === 0 || best.weight === second?.weight) return false
  return best.name === language.trim().toLowerCase()
}

function memoised(memo: Map<string, string>, value: string, make: () => string): string {
  const known = memo.get(value)
  if (known !== undefined) return known
  const made = make()
  // Bounded, and emptied rather than grown by a flood of made-up values.
  if (memo.size >= MAX_MEMO) memo.clear()
  if (value.length <= 512) memo.set(value, made)
  return made
}

function weighted(value: string): { name: string; weight: number }[] {
  return listMembers(value.toLowerCase()).map((member) => {
    const [name, ...parameters] = member.split(';')
    let weight = 1
    for (const parameter of parameters) {
      const match = /^\s*q\s*=\s*(.*?)\s*$/.exec(parameter)
      if (match !== null) weight = qvalue(match[1])
    }
    return { name: name.trim(), weight }
  })
}

/** RFC 9110 §12.4.2; a broken weight is the least preference that is still acceptance. */
function qvalue(text: string): number {
  return /^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$/.test(text) ? Number(text) : 0.001
}

function written(name: string, weight: number): string {
  return weight === 1 ? name : `${name};q=${weight}`
}

/** Range requests (RFC 9110 §14) for the unit `bytes`. Positions are inclusive, as the wire has them. */

export interface ByteRange {
  readonly first: number
  readonly last: number
}

/** One member of a Range field, not yet applied to a length. */
export type RangeSpec =
  | { readonly kind: 'from'; readonly first: number; readonly last: number }
  | { readonly kind: 'suffix'; readonly length: number }

export type RangeSelection =
  | { readonly kind: 'whole' }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'ranges'; readonly ranges: readonly ByteRange[] }

/** More members than this and the Range is ignored: RFC 9110 §14.2 lets a server refuse what looks like an attack. */
const MAX_RANGES = 32

const WHOLE: RangeSelection = { kind: 'whole' }

/** The members of a Range field; null when the field is to be ignored (other unit, broken syntax, too many). */
export function parseRange(value: string): RangeSpec[] | null {
  const unit = /^bytes=(.*)$/i.exec(value.trim())
  if (unit === null) return null
  const specs: RangeSpec[] = []
  const parts = unit[1].split(',')
  if (parts.length > MAX_RANGES * 2) return null
  for (const part of parts) {
    const text = part.trim()
    // RFC 9110 §5.6.1.2: empty list members are skipped.
    if (text === '') continue
    const match = /^([0-9]*)-([0-9]*)$/.exec(text)
    if (match === null || (match[1] === '' && match[2] === '')) return null
    if (match[1] === '') specs.push({ kind: 'suffix', length: position(match[2]) })
    else {
      const first = position(match[1])
      const last = match[2] === '' ? Number.POSITIVE_INFINITY : position(match[2])
      // RFC 9110 §14.1.1: an int-range whose last is less than its first is invalid, and with it the whole set.
      if (last < first) return null
      specs.push({ kind: 'from', first, last })
    }
    if (specs.length > MAX_RANGES) return null
  }
  return specs.length === 0 ? null : specs
}

/** Too many digits to be exact means "beyond any representation". */
function position(digits: string): number {
  return digits.replace(/^0+/, '').length > 15 ? Number.POSITIVE_INFINITY : Number(digits)
}

/** What of `length` bytes a parsed Range selects (RFC 9110 §14.1.2, §15.5.17). */
export function selectRanges(specs: readonly RangeSpec[], length: number): RangeSelection {
  const ranges: ByteRange[] = []
  for (const spec of specs) {
    if (spec.kind === 'suffix') {
      if (spec.length === 0 || length === 0) continue
      ranges.push({ first: Math.max(0, length - spec.length), last: length - 1 })
    } else if (spec.first < length) {
      ranges.push({ first: spec.first, last: Math.min(spec.last, length - 1) })
    }
  }
  if (ranges.length === 0) return { kind: 'unsatisfiable' }
  return boundedAnswer(ranges, length)
}

/**
 * Several ranges that overlap or are many cost more than the whole (RFC 9110 §14.2, §17.15): overlapping and nearly
 * touching ones are coalesced, and when the parts together still exceed the representation, the whole is sent.
 */
function boundedAnswer(ranges: ByteRange[], length: number): RangeSelection {
  if (ranges.length === 1) return { kind: 'ranges', ranges }
  const merged = overlap(ranges) ? coalesce(ranges) : ranges
  const total = merged.reduce((sum, range) => sum + range.last - range.first + 1, 0)
  if (total > length) return WHOLE
  return { kind: 'ranges', ranges: merged }
}

function overlap(ranges: readonly ByteRange[]): boolean {
  const sorted = ranges.toSorted((a, b) => a.first - b.first)
  for (let i = 1; i < sorted.length; i++) if (sorted[i].first <= sorted[i - 1].last) return true
  return false
}

function coalesce(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: ByteRange[] = []
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const previous = merged.at(-1)
    if (previous !== undefined && range.first <= previous.last + 1) {
      merged[merged.length - 1] = {
        first: previous.first,
        last: Math.max(previous.last, range.last),
      }
    } else merged.push(range)
  }
  return merged
}

export interface ContentRange {
  readonly first: number
  readonly last: number
  /** undefined for `*`. */
  readonly completeLength: number | undefined
}

/** RFC 9110 §14.4; undefined for anything invalid and for the unsatisfied form. */
export function parseContentRange(value: string): ContentRange | undefined {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/i.exec(value.trim())
  if (match === null) return undefined
  const first = Number(match[1])
  const last = Number(match[2])
  const completeLength = match[3] === '*' ? undefined : Number(match[3])
  // RFC 9110 §14.4: last before first, or a complete length not beyond last, is invalid.
  if (last < first || (completeLength !== undefined && completeLength <= last)) return undefined
  return { first, last, completeLength }
}

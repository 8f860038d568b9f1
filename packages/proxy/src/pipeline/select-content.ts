import { responseDate } from '../caching/freshness.ts'
import type { Fields } from '../http/fields.ts'
import { evaluatePreconditions, ifRangeHolds, type Validators } from '../http/preconditions.ts'
import { type ByteRange, parseRange, selectRanges } from '../http/range.ts'

/** The representation a request selects from: stored, or about to arrive. */
export interface Representation extends Validators {
  readonly status: number
  readonly fields: Fields
  readonly responseAt: number
  /** Bytes of the complete representation; undefined while unknown. */
  readonly completeLength: number | undefined
}

export type ContentSelection =
  | { readonly kind: 'whole' }
  | { readonly kind: 'not-modified' }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'ranges'; readonly ranges: readonly ByteRange[] }

const WHOLE: ContentSelection = { kind: 'whole' }

/** What of a representation this GET or HEAD gets: preconditions first, then the range (RFC 9110 §13.2.2). */
export function selectContent(
  method: string,
  request: Fields,
  representation: Representation,
  now: number,
): ContentSelection {
  // RFC 9110 §13.2.1: preconditions speak of what would be a 2xx.
  if (representation.status < 200 || representation.status > 299) return WHOLE
  if (evaluatePreconditions(request, representation, now) === 'not-modified') {
    return { kind: 'not-modified' }
  }
  // RFC 9110 §14.2: Range is for GET alone, and for what would be a 200.
  if (method !== 'GET' || representation.status !== 200) return WHOLE
  if (representation.completeLength === undefined) return WHOLE
  const range = request.get('range')
  if (range === undefined) return WHOLE
  const dateAt = responseDate(representation.fields, representation.responseAt)
  if (!ifRangeHolds(request.get('if-range'), representation, dateAt, now)) return WHOLE
  const specs = parseRange(range)
  if (specs === null) return WHOLE
  return selectRanges(specs, representation.completeLength)
}

/** Fields of a 304 (RFC 9110 §15.4.5): all but those that describe content which it does not have. */
export function notModifiedFields(fields: Fields): Fields {
  return fields.without((name) => CONTENT_FIELDS.has(name))
}

const CONTENT_FIELDS: ReadonlySet<string> = new Set([
  'content-length',
  'content-type',
  'content-encoding',
  'content-language',
  'content-range',
])

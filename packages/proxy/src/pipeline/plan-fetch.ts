import type { CacheControl } from '../caching/cache-control.ts'
import { decideReuse } from '../caching/decide-reuse.ts'
import { validationFields } from '../caching/freshen.ts'
import { missingRange } from '../caching/partial.ts'
import { firstSlice, type SliceRequest, type Slicing, sliceRange } from '../caching/slices.ts'
import { isStrong } from '../http/entity-tag.ts'
import { Fields } from '../http/fields.ts'
import { ifRangeHolds } from '../http/preconditions.ts'
import { type ByteRange, parseRange, type RangeSpec, selectRanges } from '../http/range.ts'
import { isSliced, type StoredResponse } from '../storage/stored-response.ts'
import type { Found } from './find-stored.ts'
import type { Reusable } from './large-stored.ts'
import type { Transaction } from './transaction.ts'

/** How the origin is asked: with which conditions, and for which part. */
export interface FetchPlan {
  /** Conditions and range to add to the request. */
  readonly conditions: Fields
  /** The stored response whose validators they carry. */
  readonly validating: Reusable | null
  /** Range field sent; undefined = the whole. */
  readonly range: string | undefined
  /** The part fetched completes a stored one: nobody is answered before the whole is there. */
  readonly completesPart: boolean
  /** What it turns out to be a part of may be kept in slices. */
  readonly slicing: Slicing | null
  /** The slice asked for in place of the client's range. */
  readonly probe: ByteRange | null
}

const PLAIN: FetchPlan = {
  conditions: new Fields(),
  validating: null,
  range: undefined,
  completesPart: false,
  slicing: null,
  probe: null,
}

/**
 * `whole`: the complete representation is wanted, whatever part the request or the store has. `maxStoredBytes`: what is
 * larger cannot be stored as a whole, so that there is no point in completing it. `slicing`: null when ranges are not
 * sliced here.
 */
export function planFetch(
  tx: Transaction,
  found: Found,
  whole: boolean,
  maxStoredBytes: number,
  slicing: Slicing | null,
  now: number,
): FetchPlan {
  if (found.whole !== null) {
    const conditions = validationFields(found.whole.fields)
    if (conditions.list.length === 0) return PLAIN
    const plan = { ...PLAIN, conditions, validating: found.whole }
    return isSliced(found.whole) ? validationOfSlices(plan, tx, slicing) : plan
  }
  if (whole) return PLAIN
  const { fields } = tx.request
  const range = fields.get('range')
  if (range === undefined) {
    const isSmall = (found.part?.part?.completeLength ?? 0) <= maxStoredBytes
    return found.part !== null && isSmall ? completion(found.part, tx, now) : PLAIN
  }
  const specs = parseRange(range)
  const probe = specs === null || slicing === null ? null : firstSlice(specs, slicing)
  if (probe !== null) return ranged(PLAIN, slicing, probe)
  // One range goes to the origin as it came; several are cut from the whole (RFC 9110 §14.2), or put together from
  // slices by the worker that owns the key.
  const several = (specs?.length ?? 0) > 1
  const slicedByOwner = several && slicing === null && typeof tx.rule?.cache.slice === 'number'
  if (specs?.length !== 1 && !slicedByOwner) return PLAIN
  const conditions = new Fields(['range', range])
  const ifRange = fields.get('if-range')
  if (ifRange !== undefined) conditions.add('if-range', ifRange)
  return { ...PLAIN, conditions, range: `${range} ${ifRange ?? ''}`, slicing }
}

/**
 * A range goes along with the conditions, so that a representation that has changed costs no more than one that was
 * never seen. RFC 9110 §13.2.2: conditions are evaluated before Range.
 */
function validationOfSlices(plan: FetchPlan, tx: Transaction, slicing: Slicing | null): FetchPlan {
  const own = tx.request.fields.get('range')
  if (slicing === null) {
    // The worker that owns the key slices by itself: it is told what the client wants.
    const range = own ?? 'bytes=0-0'
    const conditions = plan.conditions.clone()
    conditions.add('range', range)
    return { ...plan, conditions, range }
  }
  const specs = own === undefined ? null : parseRange(own)
  const first = specs === null ? null : firstSlice(specs, { ...slicing, minCompleteBytes: 0 })
  return ranged(plan, slicing, first ?? sliceRange(0, slicing.bytes))
}

function ranged(plan: FetchPlan, slicing: Slicing | null, probe: ByteRange): FetchPlan {
  const range = `bytes=${probe.first}-${probe.last}`
  const conditions = plan.conditions.clone()
  conditions.add('range', range)
  return { ...plan, conditions, range, slicing, probe }
}

/** One slice of a known representation, and nothing of another one (RFC 9110 §13.1.5). */
export function planSlice({ representation, range }: SliceRequest): FetchPlan {
  const text = `bytes=${range.first}-${range.last}`
  const conditions = new Fields(['range', text, 'if-range', representation.validator])
  return { ...PLAIN, conditions, range: text }
}

/** RFC 9111 §3.4: the missing end of a fresh part, bound to its strong validator. */
function completion(stored: StoredResponse, tx: Transaction, now: number): FetchPlan {
  const { part, entityTag } = stored
  if (part === undefined || entityTag === undefined || !isStrong(entityTag)) return PLAIN
  if (decideReuse(stored, tx.directives, now).kind !== 'fresh') return PLAIN
  const missing = missingRange(part.first, stored.body.length, part.completeLength)
  if (missing === undefined) return PLAIN
  const range = `bytes=${missing.first}-${missing.last}`
  return {
    ...PLAIN,
    conditions: new Fields(['range', range, 'if-range', entityTag]),
    range: `${range} ${entityTag}`,
    completesPart: true,
  }
}

/** The bytes of the complete representation to answer with when all that is asked for lies in a stored part. */
export function rangeWithinPart(
  stored: StoredResponse,
  specs: readonly RangeSpec[],
  request: Fields,
  directives: CacheControl,
  now: number,
): ByteRange | null {
  const { part } = stored
  if (part === undefined || decideReuse(stored, directives, now).kind !== 'fresh') return null
  if (!ifRangeHolds(request.get('if-range'), stored, now)) return null
  if (request.has('if-none-match') || request.has('if-modified-since')) return null
  const selection = selectRanges(specs, part.completeLength)
  if (selection.kind !== 'ranges') return null
  const [range] = selection.ranges
  const end = part.first + stored.body.length
  return range.first >= part.first && range.last < end ? range : null
}

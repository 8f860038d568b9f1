import type { CacheControl } from '../caching/cache-control.ts'
import { decideReuse } from '../caching/decide-reuse.ts'
import { validationFields } from '../caching/freshen.ts'
import { missingRange } from '../caching/partial.ts'
import { isStrong } from '../http/entity-tag.ts'
import { Fields } from '../http/fields.ts'
import { ifRangeHolds } from '../http/preconditions.ts'
import { type ByteRange, parseRange, type RangeSpec, selectRanges } from '../http/range.ts'
import type { StoredResponse } from '../storage/stored-response.ts'
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
}

const PLAIN: FetchPlan = {
  conditions: new Fields(),
  validating: null,
  range: undefined,
  completesPart: false,
}

/**
 * `whole`: the complete representation is wanted, whatever part the request or the store has. `maxStoredBytes`: what is
 * larger cannot be stored as a whole, so that there is no point in completing it.
 */
export function planFetch(
  tx: Transaction,
  found: Found,
  whole: boolean,
  maxStoredBytes: number,
  now: number,
): FetchPlan {
  if (found.whole !== null) {
    const conditions = validationFields(found.whole.fields)
    if (conditions.list.length === 0) return PLAIN
    return { ...PLAIN, conditions, validating: found.whole }
  }
  if (whole) return PLAIN
  const { fields } = tx.request
  const range = fields.get('range')
  if (range === undefined) {
    const isSmall = (found.part?.part?.completeLength ?? 0) <= maxStoredBytes
    return found.part !== null && isSmall ? completion(found.part, tx, now) : PLAIN
  }
  // One range goes to the origin as it came; several are cut from the whole (RFC 9110 §14.2).
  if (parseRange(range)?.length !== 1) return PLAIN
  const conditions = new Fields(['range', range])
  const ifRange = fields.get('if-range')
  if (ifRange !== undefined) conditions.add('if-range', ifRange)
  return { ...PLAIN, conditions, range: `${range} ${ifRange ?? ''}` }
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
    conditions: new Fields(['range', range, 'if-range', entityTag]),
    validating: null,
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

import { responseDate } from '../caching/freshness.ts'
import { mayStore } from '../caching/may-store.ts'
import {
  isSameRepresentation,
  isSlice,
  type Representation,
  representationOf,
  type SliceRequest,
  type SliceSet,
  type Slicing,
  sliceIndex,
} from '../caching/slices.ts'
import { NO_VARIANT } from '../caching/vary.ts'
import type { Fields } from '../http/fields.ts'
import type { ByteRange } from '../http/range.ts'
import { type StoredMetadata, sliceKey } from '../storage/stored-response.ts'
import type { Verdict } from './judge-response.ts'
import { bodyLengthOf, type Reusable } from './large-stored.ts'
import { type AskedFor, metadataFor, rangeOf } from './response-metadata.ts'

/** Fields of the 200 that a 206 with all of the bytes is as good as (RFC 9110 §15.3.7.3); null when it has less. */
export function asWhole(fields: Fields): Fields | null {
  const range = rangeOf(fields)
  if (range === undefined || range.first !== 0) return null
  if (range.completeLength !== range.last + 1) return null
  return completeFields(fields, range.completeLength)
}

function completeFields(fields: Fields, completeLength: number): Fields {
  const complete = fields.without((name) => name === 'content-range')
  complete.set('content-length', String(completeLength))
  return complete
}

const UNSLICEABLE: Verdict = { kind: 'unsliceable' }

/** A 206 to the slice that was asked for first. `now` in epoch ms. */
export function judgeProbe(
  asked: AskedFor,
  slicing: Slicing,
  probe: ByteRange,
  fields: Fields,
  now: number,
): Verdict {
  const range = rangeOf(fields)
  if (range?.completeLength === undefined || range.first !== probe.first) return UNSLICEABLE
  if (range.last !== Math.min(probe.last, range.completeLength - 1)) return UNSLICEABLE
  const head = slicedHead(asked, slicing, fields, now)
  if (head?.part?.slices === undefined) return UNSLICEABLE
  const key = sliceKey(asked.key, head.part.slices, sliceIndex(range.first, slicing.bytes))
  return { kind: 'sliced', head, slice: sliceMetadata({ ...asked, key }, head, range, fields, now) }
}

/**
 * The head under which the representation's slices are stored, made from a 206 that says how long it is: one to a
 * request without If-Range has every field of the 200 (RFC 9110 §15.3.7). Null when it is not worth slices, or its
 * slices could not be told from those of another representation.
 */
export function slicedHead(
  asked: AskedFor,
  slicing: Slicing,
  fields: Fields,
  now: number,
): StoredMetadata | null {
  const completeLength = rangeOf(fields)?.completeLength
  if (completeLength === undefined || completeLength <= slicing.minCompleteBytes) return null
  const representation = representationOf(fields, completeLength, responseDate(fields, now))
  if (representation === null) return null
  const complete = completeFields(fields, completeLength)
  const decision = mayStoreAs200(asked, complete, now)
  if (!decision.store) return null
  // What an origin sends that ignores conditions beside a range may be what is stored.
  const known =
    slicesOf(asked.validating, representation) ?? slicesOf(alongside(asked), representation)
  const { bytes, generation } = known ?? slicing
  if (bytes !== slicing.bytes) return null
  const part = { first: 0, completeLength, slices: { bytes, generation } }
  return metadataFor(asked, 200, complete, decision, part, now)
}

/**
 * The head that another request has brought while this one was under way: both were sent after the same purge, so that
 * what either brought may be used with the other.
 */
function alongside({ known, requestAt, purgeSequence }: AskedFor): Reusable | null {
  if (!known || known.responseAt < requestAt) return null
  return known.purgeSequence === purgeSequence ? known : null
}

/** Slices that are stored of this very representation. */
function slicesOf(stored: Reusable | null, representation: Representation): SliceSet | undefined {
  if (stored?.part?.slices === undefined) return undefined
  const theirs = representationOf(stored.fields, bodyLengthOf(stored), stored.dateAt)
  const same = theirs !== null && isSameRepresentation(representation, theirs)
  return same ? stored.part.slices : undefined
}

function mayStoreAs200(asked: AskedFor, fields: Fields, now: number) {
  const { method, requestFields, requestDirectives, rule } = asked
  const status = 200
  return mayStore({
    method,
    requestFields,
    requestDirectives,
    status,
    fields,
    responseAt: now,
    rule,
  })
}

/** A slice is complete under its own key; whom it is for was decided when its head was found. */
function sliceMetadata(
  asked: AskedFor,
  kept: Pick<StoredMetadata, 'policy' | 'tags'>,
  range: ByteRange,
  fields: Fields,
  now: number,
): StoredMetadata {
  const sized = fields.clone()
  sized.set('content-length', String(range.last - range.first + 1))
  const metadata = metadataFor(asked, 206, sized, kept, undefined, now)
  return { ...metadata, variant: NO_VARIANT }
}

/** Beside 5xx: failures of the origin, which say nothing of the representation. */
const TROUBLE: ReadonlySet<number> = new Set([408, 429])

/** An answer to the request for one slice of a known representation. */
export function judgeSlice(
  asked: AskedFor,
  slice: SliceRequest,
  status: number,
  fields: Fields,
  now: number,
): Verdict {
  if (status >= 500 || TROUBLE.has(status)) {
    return { kind: 'pass', reason: 'status', clientFields: fields }
  }
  if (status !== 206 || !isSlice(slice, fields, responseDate(fields, now))) {
    return { kind: 'mismatch' }
  }
  const decision = mayStoreAs200(asked, fields, now)
  if (!decision.store) return { kind: 'pass', reason: decision.reason, clientFields: fields }
  const metadata = sliceMetadata(asked, decision, slice.range, fields, now)
  return { kind: 'store', metadata, clientFields: fields }
}

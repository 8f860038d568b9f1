import { isStrong } from '../http/entity-tag.ts'
import type { Fields } from '../http/fields.ts'
import { parseHttpDate } from '../http/http-date.ts'
import { type ByteRange, parseContentRange, type RangeSpec } from '../http/range.ts'

/** Slices of a representation: pieces of one size, but for the last, that are fetched and stored by themselves. */

/** The slices of one stored representation. */
export interface SliceSet {
  /** Bytes of each but the last. */
  readonly bytes: number
  /** Part of their keys, and never used again: without the head that names it no slice is found. */
  readonly generation: string
}

/** How what comes of one fetch is sliced. */
export interface Slicing extends SliceSet {
  /** Only what has more bytes than this is sliced; 0 = everything, and the first request asks for a slice at once. */
  readonly minCompleteBytes: number
}

/** Without a word in the configuration. */
export const AUTOMATIC_SLICE_BYTES = 4 * 1024 * 1024
export const AUTOMATIC_MIN_COMPLETE_BYTES = 32 * 1024 * 1024

/** What the slices of one representation have in common. None of it may differ, or they are of two. */
export interface Representation {
  readonly completeLength: number
  /** Strong: an entity tag, or a Last-Modified (RFC 9110 §8.8.2.2). */
  readonly validator: string
  readonly contentEncoding: string | undefined
  readonly vary: string | undefined
}

/** One slice, as it is asked for and checked. */
export interface Slice {
  readonly representation: Representation
  readonly range: ByteRange
}

/** One slice that is wanted of a representation whose head is stored. */
export interface SliceRequest extends Slice {
  readonly slices: SliceSet
}

/** Of a response of `completeLength` bytes; null when it has no strong validator (RFC 9111 §3.4). `dateAt` in epoch ms. */
export function representationOf(
  fields: Fields,
  completeLength: number,
  dateAt: number,
): Representation | null {
  const validator = strongValidator(fields, dateAt)
  if (validator === undefined) return null
  const contentEncoding = fields.get('content-encoding')
  return { completeLength, validator, contentEncoding, vary: fields.get('vary')?.toLowerCase() }
}

/** What If-Range may carry (RFC 9110 §13.1.5). `dateAt` in epoch ms. */
export function strongValidator(fields: Fields, dateAt: number): string | undefined {
  const tag = fields.get('etag')
  // A date must not be used beside an entity tag, however weak.
  if (tag !== undefined) return isStrong(tag) ? tag : undefined
  const lastModified = fields.get('last-modified')
  if (lastModified === undefined) return undefined
  const lastModifiedAt = parseHttpDate(lastModified, dateAt)
  // RFC 9110 §8.8.2.2
  const isStrongDate = lastModifiedAt !== undefined && dateAt - lastModifiedAt >= 1000
  return isStrongDate ? lastModified : undefined
}

export function isSameRepresentation(a: Representation, b: Representation): boolean {
  return (
    a.completeLength === b.completeLength &&
    a.validator === b.validator &&
    a.contentEncoding === b.contentEncoding &&
    a.vary === b.vary
  )
}

/** True when a 206 with these fields is this slice, whole and of the same representation. `dateAt` in epoch ms. */
export function isSlice({ representation, range }: Slice, fields: Fields, dateAt: number): boolean {
  const got = parseContentRange(fields.get('content-range') ?? '')
  if (got?.completeLength === undefined) return false
  // A server may send less than it was asked for (RFC 9110 §15.3.7): then it is another piece.
  if (got.first !== range.first || got.last !== range.last) return false
  const theirs = representationOf(fields, got.completeLength, dateAt)
  return theirs !== null && isSameRepresentation(representation, theirs)
}

export function sliceIndex(position: number, sliceBytes: number): number {
  return Math.floor(position / sliceBytes)
}

/** The bytes of a slice; the last is shorter when the complete length is known. */
export function sliceRange(
  index: number,
  sliceBytes: number,
  completeLength = Number.POSITIVE_INFINITY,
): ByteRange {
  const first = index * sliceBytes
  return { first, last: Math.min(first + sliceBytes, completeLength) - 1 }
}

/** Positions beyond this no file system has; they would not be exact. */
const MAX_POSITION = 2 ** 50

/**
 * The slice to ask for first when nothing is known of the representation yet; null when the client's own range tells
 * as much and costs no more. A suffix says nothing of its position: the first slice tells the length.
 */
export function firstSlice(specs: readonly RangeSpec[], slicing: Slicing): ByteRange | null {
  const [spec] = specs
  const automatic = slicing.minCompleteBytes > 0
  if (automatic && specs.length > 1) return null
  if (spec.kind === 'suffix') return automatic ? null : sliceRange(0, slicing.bytes)
  if (spec.first > MAX_POSITION) return null
  if (automatic && spec.last - spec.first < slicing.bytes) return null
  return sliceRange(sliceIndex(spec.first, slicing.bytes), slicing.bytes)
}

/** A contiguous piece of a representation. */
export interface Piece {
  readonly first: number
  readonly bytes: Buffer
}

/**
 * Two pieces of one representation as one (RFC 9111 §3.4; the caller has compared strong validators and the complete
 * length); null when a gap lies between them, or they would have more than `maxBytes`. Where they overlap the newer bytes count.
 */
export function combinePieces(older: Piece, newer: Piece, maxBytes: number): Piece | null {
  const olderEnd = older.first + older.bytes.length
  const newerEnd = newer.first + newer.bytes.length
  if (newer.first > olderEnd || older.first > newerEnd) return null
  const first = Math.min(older.first, newer.first)
  const length = Math.max(olderEnd, newerEnd) - first
  if (length > maxBytes) return null
  const bytes = Buffer.allocUnsafeSlow(length)
  older.bytes.copy(bytes, older.first - first)
  newer.bytes.copy(bytes, newer.first - first)
  return { first, bytes }
}

/** The bytes that a piece lacks to be the whole, when they are one contiguous range; undefined otherwise. */
export function missingRange(
  first: number,
  length: number,
  completeLength: number,
): { readonly first: number; readonly last: number } | undefined {
  const end = first + length
  if (first === 0 && end < completeLength) return { first: end, last: completeLength - 1 }
  if (first > 0 && end === completeLength) return { first: 0, last: first - 1 }
  return undefined
}

import { combinePieces } from '../caching/partial.ts'
import { isStrong } from '../http/entity-tag.ts'
import { StoredResponse } from './stored-response.ts'

/**
 * A part with what is held of the same representation already (RFC 9111 §3.4): only when both carry the same strong
 * validator, lengths agree, and together they have at most `maxBytes`, else the newer alone. A part that has become whole is a 200 from then on.
 */
export function combineStored(
  held: StoredResponse,
  newer: StoredResponse,
  maxBytes: number,
): StoredResponse {
  const { part } = newer
  if (part === undefined || held.part === undefined) return newer
  const tag = newer.entityTag
  if (tag === undefined || !isStrong(tag) || held.entityTag !== tag) return newer
  if (held.part.completeLength !== part.completeLength) return newer
  const piece = combinePieces(
    { first: held.part.first, bytes: held.body },
    { first: part.first, bytes: newer.body },
    maxBytes,
  )
  if (piece === null) return newer
  const whole = piece.first === 0 && piece.bytes.length === part.completeLength
  const fields = newer.fields.without((name) => name === 'content-range')
  fields.set('content-length', String(piece.bytes.length))
  return new StoredResponse(
    {
      ...newer,
      status: whole ? 200 : 206,
      fields,
      part: whole ? undefined : { first: piece.first, completeLength: part.completeLength },
      tags: [...new Set([...newer.tags, ...held.tags])],
      purgeSequence: Math.min(newer.purgeSequence, held.purgeSequence),
    },
    piece.bytes,
  )
}

import { isStrong } from '../http/entity-tag.ts'
import type { StoredMetadata } from './stored-response.ts'

/** One of two copies of a response: what it says of itself, and the length of the body held. */
export interface Copy {
  readonly metadata: StoredMetadata
  readonly bodyLength: number
}

/**
 * Whether two copies of one variant have the same body for certain, so that what is learned of one is true of the other
 * (RFC 9111 §4.3.4). Machines that ask an origin at different times get different answers.
 */
export function haveSameOctets(a: Copy, b: Copy): boolean {
  if (a.bodyLength !== b.bodyLength) return false
  const [one, other] = [a.metadata, b.metadata]
  if (one.part?.first !== other.part?.first) return false
  const [tag, otherTag] = [one.fields.get('etag'), other.fields.get('etag')]
  if (tag !== otherTag) return false
  // RFC 9110 §8.8.1: a strong validator differs whenever the content does.
  if (tag !== undefined && isStrong(tag)) return true
  // Without one only what came in the same answer is the same.
  return (
    one.responseAt === other.responseAt &&
    one.ageBaseAt === other.ageBaseAt &&
    one.fields.get('last-modified') === other.fields.get('last-modified')
  )
}

import { responseDate } from '../caching/freshness.ts'
import type { ReusePolicy } from '../caching/may-store.ts'
import type { VariantKey } from '../caching/vary.ts'
import type { Fields } from '../http/fields.ts'
import type { StoredHandle } from '../storage/shared-tier.ts'
import {
  isSliced,
  type StoredMetadata,
  type StoredPart,
  type StoredResponse,
} from '../storage/stored-response.ts'

/** A complete stored response that is too large for memory: its body is read from its tier, piece by piece. */
export class LargeStored implements StoredMetadata {
  readonly handle: StoredHandle
  readonly key: string
  readonly keyExtra: string
  readonly variant: VariantKey
  readonly status: number
  readonly fields: Fields
  readonly responseAt: number
  readonly ageBaseAt: number
  readonly freshUntilAt: number
  readonly policy: ReusePolicy
  readonly part: StoredPart | undefined
  readonly tags: readonly string[]
  readonly purgeSequence: number
  readonly entityTag: string | undefined
  readonly lastModified: string | undefined
  readonly dateAt: number

  constructor(handle: StoredHandle, metadata: StoredMetadata = handle.metadata) {
    this.handle = handle
    this.key = metadata.key
    this.keyExtra = metadata.keyExtra
    this.variant = metadata.variant
    this.status = metadata.status
    this.fields = metadata.fields
    this.responseAt = metadata.responseAt
    this.ageBaseAt = metadata.ageBaseAt
    this.freshUntilAt = metadata.freshUntilAt
    this.policy = metadata.policy
    this.part = metadata.part
    this.tags = metadata.tags
    this.purgeSequence = metadata.purgeSequence
    this.entityTag = metadata.fields.get('etag')
    this.lastModified = metadata.fields.get('last-modified')
    this.dateAt = responseDate(metadata.fields, metadata.responseAt)
  }
}

/** What a request can be answered from. */
export type Reusable = StoredResponse | LargeStored

/** Bytes of its content, which a sliced one has elsewhere. */
export function bodyLengthOf(stored: Reusable): number {
  if (stored instanceof LargeStored) return stored.handle.bodyLength
  return isSliced(stored) ? (stored.part?.completeLength ?? 0) : stored.body.length
}

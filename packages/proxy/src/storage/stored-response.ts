import { responseDate } from '../caching/freshness.ts'
import type { ReusePolicy } from '../caching/may-store.ts'
import type { SliceSet } from '../caching/slices.ts'
import { sameVariant, type VariantKey } from '../caching/vary.ts'
import type { Fields } from '../http/fields.ts'
import { sharedPolicy } from './shared-policy.ts'

/** What a tier is told of a response before its body: enough for every decision about reusing it. */
export interface StoredMetadata {
  /** Primary cache key (RFC 9111 §2): what a purge by URL names. */
  readonly key: string
  /** Values of the fields and cookies that the rule adds to the key; '' when it adds none. */
  readonly keyExtra: string
  readonly variant: VariantKey
  readonly status: number
  /** As a reuse may show them: end-to-end, without what the shared copy must not carry, and without Age. */
  readonly fields: Fields
  /** Epoch ms. */
  readonly responseAt: number
  /** Epoch ms from which the age counts (`caching/age.ts`). */
  readonly ageBaseAt: number
  /** Epoch ms at which it becomes stale. */
  readonly freshUntilAt: number
  readonly policy: ReusePolicy
  /** Set for a part of a representation (RFC 9111 §3.3): where its single body belongs. */
  readonly part: StoredPart | undefined
  /** What a purge by tag may name (`caching/response-tags.ts`). */
  readonly tags: readonly string[]
  /** Number of the last purge that was in force when the fetch began (0 until there is one). */
  readonly purgeSequence: number
}

export interface StoredPart {
  /** First byte position of the body within the complete representation. */
  readonly first: number
  readonly completeLength: number
  /** Set for a head without content, whose content is stored in slices under keys of their own. */
  readonly slices?: SliceSet
}

export function isSliced(stored: StoredMetadata): boolean {
  return stored.part?.slices !== undefined
}

/** Slices belong to the primary key: this is what their head's key becomes, with a line feed that no target has. */
export function sliceKey(primaryKey: string, { generation }: SliceSet, index: number): string {
  return `${primaryKey}\nslice ${generation} ${index}`
}

/** Content-Length of a stored response: of a sliced one, that of the representation. */
export function contentLengthOf({ part }: StoredMetadata, bodyBytes: number): string {
  return String(part?.slices === undefined ? bodyBytes : part.completeLength)
}

/** True for two that take each other's place: of one variant of a key, both whole, both parts or both sliced. */
export function isSameSlot(a: StoredMetadata, b: StoredMetadata): boolean {
  return (
    a.keyExtra === b.keyExtra &&
    (a.part === undefined) === (b.part === undefined) &&
    isSliced(a) === isSliced(b) &&
    sameVariant(a.variant, b.variant)
  )
}

/** Encoded heads of a stored response for the synchronous door, octets as Latin-1 text; each null until it is needed. */
export class ReadyHeads {
  http1: string | null = null
  hpack: string | null = null
  http1NotModified: string | null = null
  hpackNotModified: string | null = null
  /** Strict-Transport-Security that they were made with. */
  readonly strictTransport: string | null

  constructor(strictTransport: string | null) {
    this.strictTransport = strictTransport
  }
}

/** Fixed cost counted for one stored response beside its bytes: objects, index slot, buffer header. */
const OVERHEAD_BYTES = 640

/** A complete stored response, or a contiguous part of one. Immutable but for what a validation replaces. */
export class StoredResponse implements StoredMetadata {
  readonly key: string
  readonly keyExtra: string
  readonly variant: VariantKey
  readonly status: number
  readonly fields: Fields
  readonly body: Buffer
  readonly responseAt: number
  readonly ageBaseAt: number
  readonly freshUntilAt: number
  readonly policy: ReusePolicy
  readonly part: StoredPart | undefined
  readonly tags: readonly string[]
  readonly purgeSequence: number
  /** Version of the worker's purges under which it was last found valid. */
  judgedVersion = -1
  readonly entityTag: string | undefined
  readonly lastModified: string | undefined
  /** Epoch ms of Date. */
  readonly dateAt: number
  /** Bytes that the memory tier counts for it, those of the ready heads included. */
  readonly byteLength: number
  /** Filled by the pipeline as hits need it (`pipeline/ready-heads.ts`); the bytes are counted from the start. */
  ready: ReadyHeads | null = null
  /** Times it was answered from. */
  uses = 0
  /** Next variant of the same key in the memory tier. */
  next: StoredResponse | null = null
  /** Slot in the memory tier's eviction queue; -1 when it is not held. */
  slot = -1

  constructor(metadata: StoredMetadata, body: Buffer) {
    this.key = metadata.key
    this.keyExtra = metadata.keyExtra
    this.variant = metadata.variant
    this.status = metadata.status
    // A copy is exactly as long as it needs to be; what has grown line by line has room to spare.
    this.fields = metadata.fields.clone()
    this.body = body
    this.responseAt = metadata.responseAt
    this.ageBaseAt = metadata.ageBaseAt
    this.freshUntilAt = metadata.freshUntilAt
    this.policy = sharedPolicy(metadata.policy)
    this.part = metadata.part
    this.tags = metadata.tags
    this.purgeSequence = metadata.purgeSequence
    this.entityTag = metadata.fields.get('etag')
    this.lastModified = metadata.fields.get('last-modified')
    this.dateAt = responseDate(metadata.fields, metadata.responseAt)
    const fieldBytes = metadata.fields.byteLength
    // The heads for HTTP/1.1 and HTTP/2, for 200 and 304, are some three times the field section.
    this.byteLength =
      body.length +
      fieldBytes * 4 +
      metadata.key.length * 2 +
      variantBytes(metadata) +
      OVERHEAD_BYTES
  }
}

function variantBytes({ variant, keyExtra, tags }: StoredMetadata): number {
  let bytes = keyExtra.length
  for (const tag of tags) bytes += tag.length + 16
  for (const value of variant.values) bytes += (value?.length ?? 0) + 16
  return bytes
}

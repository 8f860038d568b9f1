import type { StoredMetadata, StoredResponse } from './stored-response.ts'

/**
 * A place for stored responses. One contract for all tiers; `storage-tier.contract.ts` is its test suite.
 *
 * The pipeline calls it, as often as requests come. A tier that cannot do what is asked declines; it never throws.
 */
export interface StorageTier {
  /** For logs and metrics. */
  readonly name: string

  /** All variants and parts of a key, newest first; a chain through `next`. Counts as a use. */
  lookUp(key: string): StoredResponse | null

  /**
   * Begins to store a response whose body comes piece by piece; null when the tier declines it. It becomes visible on
   * `commit`, all at once, in place of the stored response with the same key, variant and part. Of another number of
   * bytes than `expectedBytes` nothing is stored.
   */
  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null

  /** Replaces metadata and fields, keeps the body (RFC 9111 §4.3.4). Of a response no longer held, a copy is held again. */
  freshen(stored: StoredResponse, metadata: StoredMetadata): StoredResponse

  /** Removes one stored response. */
  remove(stored: StoredResponse): void

  /** Removes every variant and part of a key. True when there was one. */
  removeKey(key: string): boolean

  close(): void
}

export interface Insertion {
  /** The tier owns the chunk. False: it has given up (too large); the caller stops and nothing was stored. */
  write(chunk: Buffer): boolean
  /** Trailer fields are not stored (RFC 9111 §3.1 leaves that open): a reuse could send them on some versions only. */
  commit(): void
  /** After `commit`: settles when a look-up can find it, or it was not stored after all; null when that is at once. */
  readonly committed?: Promise<void> | null
  /** Forgets everything written. Harmless after `commit`. */
  abandon(): void
  /** Where what was written can be read back before it is committed; null when it cannot. */
  readonly backing?: BodyBacking | null
  /** Where other workers can do so (`SharedTier.follow`), once it has become too large for memory; undefined: nowhere. */
  readonly file?: number
}

/** A body that is being stored, readable from its first byte as far as it has come. */
export interface BodyBacking {
  /** Bytes that can be read now. */
  readonly writtenBytes: number
  readonly failed: boolean
  /** Bytes [first, end), all of them written. Rejects when they cannot be read. */
  read(first: number, end: number): Promise<Buffer>
}

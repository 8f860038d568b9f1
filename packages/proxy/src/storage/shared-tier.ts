import type { Insertion } from './storage-tier.ts'
import type { StoredMetadata } from './stored-response.ts'

/**
 * A tier behind memory, shared by the workers of a machine (disk) or the machines of a PoP (Redis). The pipeline asks
 * it after memory has nothing. Nothing here ever rejects but `BodyRead.next`: a tier in trouble holds nothing, counts
 * it, and comes back by itself.
 */
export interface SharedTier {
  /** For logs and metrics. */
  readonly name: string
  /** False for a tier that is only for what is used again and again. */
  readonly takesEverything: boolean

  /** All variants and parts of a key, newest first, without their bodies. */
  lookUp(key: string): Promise<readonly StoredHandle[]>

  /** Whether every key has something stored; what is evicted a moment later may be among it. */
  holdsAll(keys: readonly string[]): Promise<boolean>

  /**
   * Begins to store a response whose body comes piece by piece; null when the tier declines it. It becomes visible
   * some time after `commit`, all at once, in place of the one with the same key, variant and part.
   */
  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null

  /** What another worker is storing, in the file that its backing names; null when this tier has no files. */
  follow?(file: number): Insertion | null

  /** Replaces metadata and fields, keeps the body (RFC 9111 §4.3.4). */
  freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void>

  remove(stored: StoredHandle): Promise<void>

  /** Removes every variant and part of a key. */
  removeKey(key: string): Promise<void>

  /** Writes what was committed, lets go of everything. */
  close(): Promise<void>
}

/** A stored response whose body is somewhere else. */
export interface StoredHandle {
  readonly metadata: StoredMetadata
  /** Bytes of the body held: of the part, when it is one. */
  readonly bodyLength: number
  /** Reads bytes [first, end) of the body held. */
  read(first: number, end: number): BodyRead
}

export interface BodyRead {
  /** The next piece, at most 256 KiB, verified; null at the end. Rejects when the bytes are not what was stored. */
  next(): Promise<Buffer | null>
  /** Lets go early. Harmless at any time. */
  close(): void
}

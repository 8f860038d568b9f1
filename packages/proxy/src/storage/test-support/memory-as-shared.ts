import type { MemoryTier } from '../memory-tier.ts'
import type { BodyRead, SharedTier, StoredHandle } from '../shared-tier.ts'
import type { Insertion } from '../storage-tier.ts'
import type { StoredMetadata, StoredResponse } from '../stored-response.ts'

const MAX_PIECE_BYTES = 256 * 1024

/** The memory tier in the clothes of a shared one: what holds for those then holds for it. */
export class MemoryAsShared implements SharedTier {
  readonly name = 'memory'
  readonly takesEverything = true
  readonly #tier: MemoryTier
  #open = true

  constructor(tier: MemoryTier) {
    this.#tier = tier
  }

  async lookUp(key: string): Promise<readonly StoredHandle[]> {
    const found: StoredHandle[] = []
    let stored = this.#tier.lookUp(key)
    for (; stored !== null; stored = stored.next) found.push(new MemoryHandle(stored))
    return found
  }

  async holdsAll(keys: readonly string[]): Promise<boolean> {
    return keys.every((key) => this.#tier.lookUp(key) !== null)
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    return this.#open ? this.#tier.insert(metadata, expectedBytes) : null
  }

  async freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void> {
    if (this.#open && stored instanceof MemoryHandle) this.#tier.freshen(stored.stored, metadata)
  }

  async remove(stored: StoredHandle): Promise<void> {
    if (this.#open && stored instanceof MemoryHandle) this.#tier.remove(stored.stored)
  }

  async removeKey(key: string): Promise<void> {
    this.#tier.removeKey(key)
  }

  async close(): Promise<void> {
    this.#open = false
    this.#tier.close()
  }
}

class MemoryHandle implements StoredHandle {
  readonly stored: StoredResponse
  readonly metadata: StoredMetadata

  constructor(stored: StoredResponse) {
    this.stored = stored
    const { key, keyExtra, variant, status, fields, responseAt } = stored
    const { ageBaseAt, freshUntilAt, policy, part, tags, purgeSequence } = stored
    this.metadata = {
      ...{ key, keyExtra, variant, status, fields, responseAt },
      ...{ ageBaseAt, freshUntilAt, policy, part, tags, purgeSequence },
    }
  }

  get bodyLength(): number {
    return this.stored.body.length
  }

  read(first: number, end: number): BodyRead {
    const { body } = this.stored
    let at = first
    return {
      async next() {
        const piece = body.subarray(at, Math.min(end, at + MAX_PIECE_BYTES))
        at += piece.length
        return piece.length === 0 ? null : piece
      },
      close() {
        at = end
      },
    }
  }
}

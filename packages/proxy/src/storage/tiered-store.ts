import { sameVariant } from '../caching/vary.ts'
import { haveSameOctets } from './same-octets.ts'
import type { SharedTier, StoredHandle } from './shared-tier.ts'
import type { Insertion } from './storage-tier.ts'
import type { StoredMetadata } from './stored-response.ts'

/** The tiers behind memory as one: asked in order, nearest first; each takes what it is for. */
export class TieredStore implements SharedTier {
  readonly name = 'tiered'
  readonly #tiers: readonly SharedTier[]

  /** Nearest first; the first takes every response, the others what has proved to be hot (`promote`). */
  constructor(tiers: readonly SharedTier[]) {
    this.#tiers = tiers
  }

  async lookUp(key: string): Promise<readonly StoredHandle[]> {
    const found: StoredHandle[] = []
    for (const tier of this.#tiers) {
      const handles = await tier.lookUp(key)
      found.push(...handles.map((handle) => new TierHandle(tier, handle)))
      // What a nearer tier has a farther one can only have older.
      if (handles.length > 0) break
    }
    return found
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    for (const tier of this.#tiers) {
      if (!tier.takesEverything) continue
      const insertion = tier.insert(metadata, expectedBytes)
      if (insertion !== null) return insertion
    }
    return null
  }

  readonly takesEverything = true

  /** A response that was used again: the tiers that hold only what is hot take it now. */
  promote(metadata: StoredMetadata, body: Buffer): void {
    for (const tier of this.#tiers) {
      if (tier.takesEverything) continue
      const insertion = tier.insert(metadata, body.length)
      if (insertion?.write(body)) insertion.commit()
    }
  }

  async freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void> {
    // Another body stays what it is: it was not the one that has been validated.
    await this.#onCopies(stored, async (tier, copy) => {
      if (haveSameOctets(copy, stored)) await tier.freshen(copy, metadata)
    })
  }

  async remove(stored: StoredHandle): Promise<void> {
    await this.#onCopies(stored, (tier, copy) => tier.remove(copy))
  }

  /** In every tier that has it: what stays behind in a farther one would come back once the nearer has none. */
  async #onCopies(
    stored: StoredHandle,
    change: (tier: SharedTier, copy: StoredHandle) => Promise<void>,
  ): Promise<void> {
    if (!(stored instanceof TierHandle)) return
    const { metadata } = stored
    await Promise.all(
      this.#tiers.map(async (tier) => {
        if (tier === stored.tier) return change(tier, stored.inner)
        const copies = (await tier.lookUp(metadata.key)).filter((copy) =>
          isSameResponse(copy.metadata, metadata),
        )
        await Promise.all(copies.map((copy) => change(tier, copy)))
      }),
    )
  }

  async removeKey(key: string): Promise<void> {
    await Promise.all(this.#tiers.map((tier) => tier.removeKey(key)))
  }

  async close(): Promise<void> {
    await Promise.all(this.#tiers.map((tier) => tier.close()))
  }
}

/** Not a newer one of the same variant. */
function isSameResponse(copy: StoredMetadata, metadata: StoredMetadata): boolean {
  return (
    copy.keyExtra === metadata.keyExtra &&
    copy.responseAt <= metadata.responseAt &&
    sameVariant(copy.variant, metadata.variant) &&
    (copy.part === undefined) === (metadata.part === undefined)
  )
}

class TierHandle implements StoredHandle {
  readonly tier: SharedTier
  readonly inner: StoredHandle

  constructor(tier: SharedTier, inner: StoredHandle) {
    this.tier = tier
    this.inner = inner
  }

  get metadata(): StoredMetadata {
    return this.inner.metadata
  }

  get bodyLength(): number {
    return this.inner.bodyLength
  }

  read(first: number, end: number) {
    return this.inner.read(first, end)
  }
}

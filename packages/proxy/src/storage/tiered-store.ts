import { haveSameOctets } from './same-octets.ts'
import type { SharedTier, StoredHandle } from './shared-tier.ts'
import type { Insertion } from './storage-tier.ts'
import { isSameSlot, type StoredMetadata } from './stored-response.ts'

/** The tiers behind memory as one: asked in order, nearest first; each takes what it is for. */
export class TieredStore implements SharedTier {
  readonly name = 'tiered'
  readonly #tiers: readonly SharedTier[]
  readonly #now: () => number

  /**
   * Nearest first; the first takes every response, the others what has proved to be hot (`promote`). `now`: epoch ms.
   */
  constructor(tiers: readonly SharedTier[], now: () => number) {
    this.#tiers = tiers
    this.#now = now
  }

  async lookUp(key: string): Promise<readonly StoredHandle[]> {
    const found: StoredHandle[] = []
    for (const tier of this.#tiers) {
      const handles = await tier.lookUp(key)
      found.push(...handles.map((handle) => new TierHandle(tier, handle)))
      // Of what is stale here another machine may have something newer.
      if (handles.some(({ metadata }) => metadata.freshUntilAt > this.#now())) break
    }
    // Of two that are equally new the nearer one stays in front.
    return found.sort((a, b) => b.metadata.responseAt - a.metadata.responseAt)
  }

  /** In one tier: what is spread over several is not worth the questions. */
  async holdsAll(keys: readonly string[]): Promise<boolean> {
    for (const tier of this.#tiers) if (await tier.holdsAll(keys)) return true
    return false
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    for (const tier of this.#tiers) {
      if (!tier.takesEverything) continue
      const insertion = tier.insert(metadata, expectedBytes)
      if (insertion !== null) return insertion
    }
    return null
  }

  follow(file: number): Insertion | null {
    for (const tier of this.#tiers) {
      const followed = tier.follow?.(file) ?? null
      if (followed !== null) return followed
    }
    return null
  }

  get takesEverything(): boolean {
    return this.#tiers.some((tier) => tier.takesEverything)
  }

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

  /**
   * Gives back the room of what nobody can find any more. A tier in trouble is not owed a removal for it, and one that
   * holds only what is hot forgets by itself.
   */
  async discardKey(key: string): Promise<void> {
    for (const tier of this.#tiers) {
      if (tier.takesEverything && (await tier.holdsAll([key]))) await tier.removeKey(key)
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#tiers.map((tier) => tier.close()))
  }
}

/** Not a newer one of the same variant. */
function isSameResponse(copy: StoredMetadata, metadata: StoredMetadata): boolean {
  return copy.responseAt <= metadata.responseAt && isSameSlot(copy, metadata)
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

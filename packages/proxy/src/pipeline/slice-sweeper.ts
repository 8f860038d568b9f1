import { sliceIndex } from '../caching/slices.ts'
import type { MemoryTier } from '../storage/memory-tier.ts'
import { type StoredResponse, sliceKey } from '../storage/stored-response.ts'
import type { TieredStore } from '../storage/tiered-store.ts'

/** Heads whose slices wait to be removed; beyond it eviction gets there, as it does after a crash. */
const MAX_WAITING = 1000

/** Gives back the room of slices whose head is gone, one after another behind everything else. */
export class SliceSweeper {
  readonly #memory: MemoryTier
  readonly #shared: TieredStore | null
  readonly #waiting: StoredResponse[] = []
  #sweeping = false

  constructor(memory: MemoryTier, shared: TieredStore | null) {
    this.#memory = memory
    this.#shared = shared
  }

  add(head: StoredResponse): void {
    if (this.#waiting.length >= MAX_WAITING) return
    this.#waiting.push(head)
    if (!this.#sweeping) void this.#sweep()
  }

  async #sweep(): Promise<void> {
    this.#sweeping = true
    for (let head = this.#waiting.shift(); head !== undefined; head = this.#waiting.shift()) {
      await this.#remove(head)
    }
    this.#sweeping = false
  }

  async #remove({ key, part }: StoredResponse): Promise<void> {
    if (part?.slices === undefined) return
    const last = sliceIndex(part.completeLength - 1, part.slices.bytes)
    for (let index = 0; index <= last; index++) {
      const name = sliceKey(key, part.slices, index)
      this.#memory.removeKey(name)
      await this.#shared?.discardKey(name)
    }
  }
}

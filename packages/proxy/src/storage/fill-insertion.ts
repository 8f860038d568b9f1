import type { BodyBacking, Insertion } from './storage-tier.ts'

/**
 * One response on its way into memory and into the tiers behind it. It lives as long as one of them takes it: a body
 * too large for memory goes on to disk, a disk in trouble leaves memory alone.
 */
export class FillInsertion implements Insertion {
  #memory: Insertion | null
  #shared: Insertion | null

  constructor(memory: Insertion | null, shared: Insertion | null) {
    this.#memory = memory
    this.#shared = shared
  }

  /** All that has come is worth holding: memory takes it, or disk has not begun a file that could be read back. */
  get holdsAll(): boolean {
    return this.#memory !== null || (this.#shared !== null && this.backing === null)
  }

  get backing(): BodyBacking | null {
    return this.#shared?.backing ?? null
  }

  write(chunk: Buffer): boolean {
    if (this.#memory !== null && !this.#memory.write(chunk)) this.#memory = null
    if (this.#shared !== null && !this.#shared.write(chunk)) this.#shared = null
    return this.#memory !== null || this.#shared !== null
  }

  commit(): void {
    this.#memory?.commit()
    this.#shared?.commit()
  }

  /** What memory holds can be found at once. */
  get committed(): Promise<void> | null {
    return this.#memory === null ? (this.#shared?.committed ?? null) : null
  }

  abandon(): void {
    this.#memory?.abandon()
    this.#shared?.abandon()
  }
}

import type { BodyBacking, Insertion } from './storage-tier.ts'

/**
 * One response on its way into memory and into the tiers behind it. It lives as long as one of them takes it: a body
 * too large for memory goes on to disk, a disk in trouble leaves memory alone.
 */
export class FillInsertion implements Insertion {
  readonly #readsAlong: boolean
  #memory: Insertion | null
  #shared: Insertion | null

  /** `shared` is null, takes the response, or, when this `readsAlong`, stands for another worker that does. */
  constructor(memory: Insertion | null, shared: Insertion | null, readsAlong = false) {
    this.#memory = memory
    this.#shared = shared
    this.#readsAlong = readsAlong
  }

  /** False when nothing of it is stored here: without a client there is no reason to go on. */
  get keeps(): boolean {
    return this.#memory !== null || !this.#readsAlong
  }

  get file(): number | undefined {
    return this.#shared?.file
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

export const NONE = -1

const INITIAL_SLOTS = 1024

/** Hands out slots and links them: two typed arrays that several queues share, because a slot is in one at a time. */
export class SlotLinks {
  newer = new Int32Array(INITIAL_SLOTS)
  older = new Int32Array(INITIAL_SLOTS)
  readonly #free: number[] = []
  #used = 0

  take(): number {
    const slot = this.#free.pop() ?? this.#used++
    if (slot >= this.newer.length) {
      this.newer = lengthened(this.newer, slot * 2)
      this.older = lengthened(this.older, slot * 2)
    }
    return slot
  }

  giveBack(slot: number): void {
    this.#free.push(slot)
  }

  /** Above every slot that was ever handed out. */
  get capacity(): number {
    return this.newer.length
  }
}

/** Slots in order of arrival; any of them can leave. */
export class SlotQueue {
  readonly #links: SlotLinks
  #newest = NONE
  /** NONE when it is empty. */
  oldest = NONE

  constructor(links: SlotLinks) {
    this.#links = links
  }

  push(slot: number): void {
    const { newer, older } = this.#links
    older[slot] = this.#newest
    newer[slot] = NONE
    if (this.#newest === NONE) this.oldest = slot
    else newer[this.#newest] = slot
    this.#newest = slot
  }

  remove(slot: number): void {
    const { newer, older } = this.#links
    if (newer[slot] === NONE) this.#newest = older[slot]
    else older[newer[slot]] = older[slot]
    if (older[slot] === NONE) this.oldest = newer[slot]
    else newer[older[slot]] = newer[slot]
  }
}

/** A copy with room for `length`. */
export function lengthened<T extends Int32Array | Uint32Array | Uint8Array>(
  array: T,
  length: number,
): T {
  // The constructor of a typed array makes one of its own kind.
  const longer = new (array.constructor as new (length: number) => T)(length)
  longer.set(array)
  return longer
}

/**
 * SIEVE eviction order (Zhang et al., NSDI '24) over typed arrays: a queue in order of insertion, one bit per slot, and
 * a hand that moves from old to new. A hit sets a bit and moves nothing, which is why it is cheap; one-hit wonders
 * leave on the hand's first visit.
 */
const NONE = -1

export class Sieve {
  #newer: Int32Array
  #older: Int32Array
  #visited: Uint8Array
  #free: number[] = []
  #used = 0
  #newest = NONE
  #oldest = NONE
  #hand = NONE

  constructor(capacity = 1024) {
    this.#newer = new Int32Array(capacity)
    this.#older = new Int32Array(capacity)
    this.#visited = new Uint8Array(capacity)
  }

  /** Takes a slot at the new end of the queue. */
  add(): number {
    const slot = this.#free.pop() ?? this.#used++
    if (slot >= this.#visited.length) this.#grow()
    this.#visited[slot] = 0
    this.#older[slot] = this.#newest
    this.#newer[slot] = NONE
    if (this.#newest !== NONE) this.#newer[this.#newest] = slot
    this.#newest = slot
    if (this.#oldest === NONE) this.#oldest = slot
    return slot
  }

  visit(slot: number): void {
    this.#visited[slot] = 1
  }

  /** The slot to evict next, still in the queue; -1 when it is empty. */
  victim(): number {
    let hand = this.#hand === NONE ? this.#oldest : this.#hand
    while (hand !== NONE && this.#visited[hand] === 1) {
      this.#visited[hand] = 0
      hand = this.#newer[hand]
      if (hand === NONE) hand = this.#oldest
    }
    this.#hand = hand
    return hand
  }

  remove(slot: number): void {
    const newer = this.#newer[slot]
    const older = this.#older[slot]
    if (this.#hand === slot) this.#hand = newer
    if (newer === NONE) this.#newest = older
    else this.#older[newer] = older
    if (older === NONE) this.#oldest = newer
    else this.#newer[older] = newer
    this.#free.push(slot)
  }

  /** The upper bound of slot numbers in use, plus one. */
  get capacity(): number {
    return this.#visited.length
  }

  #grow(): void {
    const capacity = this.#visited.length * 2
    this.#newer = copied(new Int32Array(capacity), this.#newer)
    this.#older = copied(new Int32Array(capacity), this.#older)
    this.#visited = copied(new Uint8Array(capacity), this.#visited)
  }
}

function copied<T extends Int32Array | Uint8Array>(target: T, source: T): T {
  target.set(source)
  return target
}

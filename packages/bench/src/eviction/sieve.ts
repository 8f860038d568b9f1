import type { EvictionOrder } from '../../../proxy/src/storage/eviction/eviction-order.ts'
import {
  lengthened,
  NONE,
  SlotLinks,
  SlotQueue,
} from '../../../proxy/src/storage/eviction/slot-queue.ts'

/**
 * SIEVE eviction order (Zhang et al., NSDI '24) over typed arrays: a queue in order of insertion, one bit per slot, and
 * a hand that moves from old to new. A hit sets a bit and moves nothing, which is why it is cheap; one-hit wonders
 * leave on the hand's first visit.
 */
export class Sieve implements EvictionOrder {
  readonly #links = new SlotLinks()
  readonly #queue = new SlotQueue(this.#links)
  #visited = new Uint8Array(this.#links.capacity)
  #hand = NONE

  add(): number {
    const slot = this.#links.take()
    if (slot >= this.#visited.length) {
      this.#visited = lengthened(this.#visited, this.#links.capacity)
    }
    this.#visited[slot] = 0
    this.#queue.push(slot)
    return slot
  }

  visit(slot: number): void {
    this.#visited[slot] = 1
  }

  victim(): number {
    let hand = this.#hand === NONE ? this.#queue.oldest : this.#hand
    while (hand !== NONE && this.#visited[hand] === 1) {
      this.#visited[hand] = 0
      hand = this.#links.newer[hand]
      if (hand === NONE) hand = this.#queue.oldest
    }
    this.#hand = hand
    return hand
  }

  remove(slot: number): void {
    if (this.#hand === slot) this.#hand = this.#links.newer[slot]
    this.#queue.remove(slot)
    this.#links.giveBack(slot)
  }
}

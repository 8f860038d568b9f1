import type { EvictionOrder } from '../../../proxy/src/storage/eviction/eviction-order.ts'
import { SlotLinks, SlotQueue } from '../../../proxy/src/storage/eviction/slot-queue.ts'

/** Least recently used first: the reference. Every hit moves its slot, which is four writes to memory. */
export class Lru implements EvictionOrder {
  readonly #links = new SlotLinks()
  readonly #queue = new SlotQueue(this.#links)

  add(): number {
    const slot = this.#links.take()
    this.#queue.push(slot)
    return slot
  }

  visit(slot: number): void {
    this.#queue.remove(slot)
    this.#queue.push(slot)
  }

  victim(): number {
    return this.#queue.oldest
  }

  remove(slot: number): void {
    this.#queue.remove(slot)
    this.#links.giveBack(slot)
  }
}

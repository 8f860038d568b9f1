import type { EvictionOrder } from '../../../proxy/src/storage/eviction/eviction-order.ts'
import { SlotLinks, SlotQueue } from '../../../proxy/src/storage/eviction/slot-queue.ts'

/** Oldest first, whatever was asked for: what every other order has to beat. */
export class Fifo implements EvictionOrder {
  readonly #links = new SlotLinks()
  readonly #queue = new SlotQueue(this.#links)

  add(): number {
    const slot = this.#links.take()
    this.#queue.push(slot)
    return slot
  }

  visit(): void {}

  victim(): number {
    return this.#queue.oldest
  }

  remove(slot: number): void {
    this.#queue.remove(slot)
    this.#links.giveBack(slot)
  }
}

import type { EvictionOrder } from './eviction-order.ts'
import { Ghosts } from './ghosts.ts'
import { lengthened, NONE, SlotLinks, SlotQueue } from './slot-queue.ts'

/** Of the bytes held, those on probation. */
const SMALL_SHARE = 0.1
/** Uses beyond this are not counted: how often something may go round unused before it leaves. */
const MAX_USES = 3
/**
 * Steps in the search for one victim. It is long only when the tier was not full for a long time and all was used; some
 * of the used ones leave then, and no client waits for more than some microseconds.
 */
const MAX_STEPS = 1000

/**
 * S3-FIFO (Yang et al., SOSP '23) over typed arrays. What is new is on probation in a small queue. At its end what was
 * used goes into the main queue, the rest leaves and its fingerprint is remembered: back soon enough, it goes into the
 * main queue at once. There what was used goes round again. A hit counts a use and moves nothing.
 *
 * The paper asks for two uses on probation; one is as good or better here (docs/decisions/eviction-policy.md).
 */
export class S3Fifo implements EvictionOrder {
  readonly #links = new SlotLinks()
  readonly #small = new SlotQueue(this.#links)
  readonly #main = new SlotQueue(this.#links)
  readonly #ghosts = new Ghosts()
  #uses = new Uint8Array(this.#links.capacity)
  #isMain = new Uint8Array(this.#links.capacity)
  #bytes = new Uint32Array(this.#links.capacity)
  #fingerprints = new Uint32Array(this.#links.capacity)
  #smallBytes = 0
  #mainBytes = 0
  #mainCount = 0
  /** What `victim` has named last: its removal is an eviction, any other is not. */
  #named = NONE

  add(fingerprint: number, bytes: number, proven: boolean): number {
    const slot = this.#links.take()
    if (slot >= this.#uses.length) this.#grow()
    this.#uses[slot] = 0
    this.#bytes[slot] = bytes
    this.#fingerprints[slot] = fingerprint
    if (this.#ghosts.take(fingerprint, this.#mainCount) || proven) this.#intoMain(slot)
    else {
      this.#isMain[slot] = 0
      this.#small.push(slot)
      this.#smallBytes += bytes
    }
    return slot
  }

  visit(slot: number): void {
    if (this.#uses[slot] < MAX_USES) this.#uses[slot]++
  }

  victim(): number {
    for (let step = 0; step < MAX_STEPS; step++) {
      const slot = this.#oldest()
      if (slot === NONE || this.#uses[slot] === 0) return this.#name(slot)
      if (this.#isMain[slot] === 1) {
        this.#uses[slot]--
        this.#main.remove(slot)
        this.#main.push(slot)
      } else {
        this.#uses[slot] = 0
        this.#small.remove(slot)
        this.#smallBytes -= this.#bytes[slot]
        this.#intoMain(slot)
      }
    }
    return this.#name(this.#oldest())
  }

  #oldest(): number {
    const most = (this.#smallBytes + this.#mainBytes) * SMALL_SHARE
    const fromSmall = this.#smallBytes > most || this.#main.oldest === NONE
    return fromSmall ? this.#small.oldest : this.#main.oldest
  }

  #name(slot: number): number {
    this.#named = slot
    return slot
  }

  remove(slot: number): void {
    if (this.#isMain[slot] === 1) {
      this.#main.remove(slot)
      this.#mainBytes -= this.#bytes[slot]
      this.#mainCount--
    } else {
      this.#small.remove(slot)
      this.#smallBytes -= this.#bytes[slot]
      if (slot === this.#named) this.#ghosts.add(this.#fingerprints[slot], this.#mainCount)
    }
    if (slot === this.#named) this.#named = NONE
    this.#links.giveBack(slot)
  }

  #intoMain(slot: number): void {
    this.#isMain[slot] = 1
    this.#main.push(slot)
    this.#mainBytes += this.#bytes[slot]
    this.#mainCount++
  }

  #grow(): void {
    const { capacity } = this.#links
    this.#uses = lengthened(this.#uses, capacity)
    this.#isMain = lengthened(this.#isMain, capacity)
    this.#bytes = lengthened(this.#bytes, capacity)
    this.#fingerprints = lengthened(this.#fingerprints, capacity)
  }
}

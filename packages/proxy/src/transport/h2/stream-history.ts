/** How a stream that is no more came to its end: it decides what a late frame on it means (RFC 9113 §5.1). */
export const FATE = {
  /** Below the last stream but never opened: closed by the first frame on a higher one (§5.1.1). */
  skipped: 0,
  /** Both sides ended it, or the client reset it: nothing may come any more. */
  done: 1,
  /** We reset it: what the client sent before it heard of that is passed over. */
  resetByUs: 2,
} as const

/** Streams remembered. A client that is further behind than this has its connection ended, not its frames misread. */
const REMEMBERED = 256

export class StreamHistory {
  readonly #fates = new Uint8Array(REMEMBERED)
  /** The highest stream that the client opened; 0 before the first. */
  lastId = 0

  /** `id` is odd and above `lastId`. */
  open(id: number): void {
    const passedOver = (id - this.lastId) / 2 - 1
    if (passedOver >= 1) this.#skip(Math.min(passedOver, REMEMBERED), id)
    this.lastId = id
    this.#fates[(id >>> 1) % REMEMBERED] = FATE.done
  }

  noteReset(id: number): void {
    if (id > this.lastId - REMEMBERED * 2) this.#fates[(id >>> 1) % REMEMBERED] = FATE.resetByUs
  }

  /** Of a stream not above `lastId` that is not open. */
  fate(id: number): number {
    return id > this.lastId - REMEMBERED * 2 ? this.#fates[(id >>> 1) % REMEMBERED] : FATE.done
  }

  #skip(count: number, before: number): void {
    for (let i = 1; i <= count; i++) {
      this.#fates[((before - 2 * i) >>> 1) % REMEMBERED] = FATE.skipped
    }
  }
}

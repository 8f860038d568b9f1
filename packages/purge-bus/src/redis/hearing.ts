/** Higher than any number: what comes while something may have been missed is never taken for a repetition. */
const ALWAYS_NEW = 2 ** 53 - 1

/**
 * The highest number that this machine has heard of without doubt. It tells, of a message without a number, whether a
 * number that the same text was given came before or after it. Too high a value costs a number more, too low a one
 * could lose a purge: in doubt it is high.
 */
export class Hearing {
  #highest: number | null = null
  /** Counts subscriptions; 0 = there is none now. */
  #subscribed = 0
  #subscriptions = 0
  /** The subscription that there was when Redis was asked last. */
  #subscribedWhenAsked = 0
  #formerSeq = 0

  get isListening(): boolean {
    return this.#subscribed !== 0
  }

  /** True when nothing was missed since the subscription began. */
  get isSure(): boolean {
    return this.#highest !== null
  }

  /** To be asked in the turn in which a message comes. */
  get highest(): number {
    return this.#highest ?? ALWAYS_NEW
  }

  subscribed(): void {
    this.#subscribed = ++this.#subscriptions
  }

  lost(): void {
    this.#subscribed = 0
    this.#highest = null
  }

  /** A heartbeat begins. */
  asks(): void {
    this.#subscribedWhenAsked = this.#subscribed
  }

  /**
   * The heartbeat's answer. What was numbered when the subscription was there already has been heard of, or will never
   * be. A raw message that comes later may still have been published before this answer, hardly before the former one.
   */
  answers(seq: number): void {
    const wasListening = this.#subscribed !== 0 && this.#subscribed === this.#subscribedWhenAsked
    if (wasListening && this.#highest === null) this.#highest = seq
    else this.hears(this.#formerSeq)
    this.#formerSeq = seq
  }

  hears(number: number): void {
    if (this.#highest !== null && number > this.#highest) this.#highest = number
  }
}

/** Beyond this the oldest are forgotten. */
const MAX_NOTES = 4_096

/** When purge numbers came into force here: from then on what they cover is stale. */
export class PurgeTimes {
  /** Rising in both. */
  readonly #numbers: number[] = []
  readonly #times: number[] = []
  readonly #startedAt: number

  /** `startedAt`: epoch ms; for numbers that were in force before. */
  constructor(startedAt: number) {
    this.#startedAt = startedAt
  }

  note(number: number, at: number): void {
    const last = this.#numbers.at(-1)
    if (last !== undefined && number <= last) return
    this.#numbers.push(number)
    this.#times.push(at)
    if (this.#numbers.length <= MAX_NOTES) return
    // Half at once: moving the rest is not for every purge.
    this.#numbers.splice(0, MAX_NOTES / 2)
    this.#times.splice(0, MAX_NOTES / 2)
  }

  /** Epoch ms. Of a number that is not known any more: a time that is not later than the true one. */
  of(number: number): number {
    let low = 0
    let high = this.#numbers.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#numbers[middle] < number) low = middle + 1
      else high = middle
    }
    if (low === 0 && this.#numbers[0] !== number) return this.#startedAt
    return this.#times[low] ?? this.#startedAt
  }
}

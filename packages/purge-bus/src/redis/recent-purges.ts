const MAX_PURGES = 10_000
const MAX_CHARACTERS = 32 * 1024 * 1024

/** The last purges that were applied, without a gap, as texts: what Redis may have to be given back. */
export class RecentPurges {
  readonly #maxPurges: number
  #texts: string[] = []
  /** Number of the last of them. */
  #last = 0
  #characters = 0

  constructor(maxPurges = MAX_PURGES) {
    this.#maxPurges = maxPurges
  }

  /** Number of the first of them; one above the last when there is none. */
  get from(): number {
    return this.#last - this.#texts.length + 1
  }

  get last(): number {
    return this.#last
  }

  get texts(): readonly string[] {
    return this.#texts
  }

  add(number: number, text: string): void {
    if (number !== this.#last + 1) this.startAfter(number - 1)
    this.#texts.push(text)
    this.#characters += text.length
    this.#last = number
    const { length } = this.#texts
    // Now and then, so that it costs nothing each time.
    if (length > this.#maxPurges * 1.25 || this.#characters > MAX_CHARACTERS) this.#drop()
  }

  /** The numbers up to this one are not known one by one. */
  startAfter(number: number): void {
    this.#texts = []
    this.#characters = 0
    this.#last = number
  }

  #drop(): void {
    this.#texts = this.#texts.slice(-Math.min(this.#maxPurges, this.#texts.length - 1))
    this.#characters = this.#texts.reduce((sum, text) => sum + text.length, 0)
    while (this.#characters > MAX_CHARACTERS) this.#characters -= this.#texts.shift()?.length ?? 0
  }
}

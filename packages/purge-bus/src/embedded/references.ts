const REMEMBER_MS = 24 * 3_600_000
const MAX_REFERENCES = 100_000

/** The purges that references have led to, for 24 h; of too many the oldest go first. */
export class References {
  readonly #numbers = new Map<string, { readonly number: number; readonly at: number }>()

  /** `now` and `at` in epoch ms. */
  numberOf(reference: string, now: number): number | undefined {
    const held = this.#numbers.get(reference)
    return held === undefined || held.at + REMEMBER_MS <= now ? undefined : held.number
  }

  remember(reference: string, number: number, at: number): void {
    this.#numbers.delete(reference)
    this.#numbers.set(reference, { number, at })
    for (const [oldest, held] of this.#numbers) {
      if (this.#numbers.size <= MAX_REFERENCES && held.at + REMEMBER_MS > at) break
      this.#numbers.delete(oldest)
    }
  }

  serialise(): readonly (readonly [reference: string, number: number, at: number])[] {
    return [...this.#numbers].map(([reference, { number, at }]) => [reference, number, at])
  }
}

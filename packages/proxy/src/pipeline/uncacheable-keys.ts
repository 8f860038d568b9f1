/**
 * Keys whose last response could not be stored, remembered for a while: requests for them do not wait for each other
 * ("hit-for-miss"), since none could use the other's answer. Bounded; the oldest are forgotten first.
 */
const MAX_KEYS = 50_000

export class UncacheableKeys {
  readonly #until = new Map<string, number>()
  readonly #rememberMs: number

  constructor(rememberMs = 30_000) {
    this.#rememberMs = rememberMs
  }

  /** `now` in ms. */
  add(key: string, now: number): void {
    this.#until.delete(key)
    this.#until.set(key, now + this.#rememberMs)
    if (this.#until.size <= MAX_KEYS) return
    for (const oldest of this.#until.keys()) {
      this.#until.delete(oldest)
      return
    }
  }

  has(key: string, now: number): boolean {
    const until = this.#until.get(key)
    if (until === undefined) return false
    if (now < until) return true
    this.#until.delete(key)
    return false
  }

  delete(key: string): void {
    this.#until.delete(key)
  }
}

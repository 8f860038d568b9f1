/** An origin that cannot be connected to is left alone for this long, doubling while it stays so. */
const FIRST_DOWN_MS = 500
const MAX_DOWN_MS = 10_000
/** Failures in a row before an origin counts as down. */
const FAILURES_UNTIL_DOWN = 2

/** Whether an origin can be connected to, as far as is known. `now` in ms, monotonic. */
export class OriginHealth {
  #failures = 0
  #downUntil = 0
  #downMs = FIRST_DOWN_MS
  #probing = false

  get downUntil(): number {
    return this.#downUntil
  }

  mayBeAsked(now: number): boolean {
    return now >= this.#downUntil
  }

  /** Only one request per period finds out whether an origin is back; the others go on as if it were not. */
  asked(now: number): void {
    if (this.#failures < FAILURES_UNTIL_DOWN) return
    this.#downUntil = now + this.#downMs
    this.#probing = true
  }

  connected(): void {
    this.#failures = 0
    this.#downUntil = 0
    this.#downMs = FIRST_DOWN_MS
    this.#probing = false
  }

  notConnected(now: number): void {
    this.#failures++
    if (this.#failures < FAILURES_UNTIL_DOWN) return
    // Attempts that were under way together tell of one outage, not of many.
    if (!this.#probing && !this.mayBeAsked(now)) return
    this.#probing = false
    this.#downUntil = now + this.#downMs
    this.#downMs = Math.min(this.#downMs * 2, MAX_DOWN_MS)
  }
}

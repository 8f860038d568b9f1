/** Failures in a row that open the circuit. */
const FAILURES_UNTIL_OPEN = 3
const FIRST_OPEN_MS = 250
const MAX_OPEN_MS = 5_000

/**
 * Keeps requests from waiting for a server that is not answering: after a few failures nothing is asked for a while,
 * then one question finds out. The while doubles, with jitter, so that the workers of a PoP do not come back at once.
 */
export class CircuitBreaker {
  readonly #now: () => number
  #failures = 0
  #openUntil = 0
  #openMs = FIRST_OPEN_MS

  /** `now` in ms, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  get open(): boolean {
    return this.#now() < this.#openUntil
  }

  /** True when a call may be made now. While the circuit is half open that is one caller's privilege. */
  allows(): boolean {
    if (this.open) return false
    if (this.#failures >= FAILURES_UNTIL_OPEN) this.#openUntil = this.#now() + this.#openMs
    return true
  }

  succeeded(): void {
    this.#failures = 0
    this.#openUntil = 0
    this.#openMs = FIRST_OPEN_MS
  }

  failed(): void {
    this.#failures++
    if (this.#failures < FAILURES_UNTIL_OPEN) return
    this.#openUntil = this.#now() + this.#openMs * (0.75 + Math.random() / 2)
    this.#openMs = Math.min(this.#openMs * 2, MAX_OPEN_MS)
  }
}

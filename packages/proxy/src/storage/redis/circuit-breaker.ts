/** Failures one after the other that open the circuit. */
const FAILURES_UNTIL_OPEN = 3
const FIRST_OPEN_MS = 250
/** With jitter this stays below 4 s: a server that is back is used again within 5 s. */
const MAX_OPEN_MS = 3_000

/**
 * Keeps requests from waiting for a server that is not answering: after a few failures nothing is asked for a while,
 * then one question finds out. The while doubles, with jitter, so that the workers of a PoP do not come back at once.
 */
export class CircuitBreaker {
  readonly #now: () => number
  #state: 'closed' | 'open' | 'half-open' = 'closed'
  #failures = 0
  #failedAt = Number.NEGATIVE_INFINITY
  #openUntil = 0
  #openMs = FIRST_OPEN_MS

  /** `now` in ms, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** True while the last answers were failures. */
  get open(): boolean {
    return this.#state !== 'closed'
  }

  /** For `failed`: the instant at which a call begins. */
  now(): number {
    return this.#now()
  }

  /** True when a call may be made now. While the circuit is half open that is one caller's privilege. */
  allows(): boolean {
    if (this.#state === 'closed') return true
    if (this.#now() < this.#openUntil) return false
    this.#state = 'half-open'
    // Should the one who asks never be heard of again, another one is let through.
    this.#openUntil = this.#now() + this.#openMs
    return true
  }

  succeeded(): void {
    this.#state = 'closed'
    this.#failures = 0
    this.#openMs = FIRST_OPEN_MS
  }

  failed(startedAt: number): void {
    // What was under way at the last failure tells nothing new: one stall is one stall, with a hundred calls too.
    if (this.#state === 'open' || startedAt < this.#failedAt) return
    this.#failedAt = this.#now()
    if (this.#state === 'closed' && ++this.#failures < FAILURES_UNTIL_OPEN) return
    this.#state = 'open'
    this.#openUntil = this.#failedAt + this.#openMs * (0.75 + Math.random() / 2)
    this.#openMs = Math.min(this.#openMs * 2, MAX_OPEN_MS)
  }
}

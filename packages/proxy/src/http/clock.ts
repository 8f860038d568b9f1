/**
 * The coarse clock: one reading per 100 ms shared by everything that stamps seconds (Date, Age, log lines), so that
 * a request costs no call to the operating system for them. Decisions take `now` as an argument instead.
 */
export class Clock {
  /** Epoch, ms. */
  ms = 0
  /** Epoch, whole seconds. */
  seconds = 0
  /** IMF-fixdate of `seconds` (RFC 9110 §5.6.7). */
  date = ''
  /** Counts changes of `seconds`: whoever caches something derived from it compares this. */
  generation = 0
  readonly #now: () => number
  #timer: NodeJS.Timeout | null = null

  constructor(now: () => number = Date.now) {
    this.#now = now
    this.tick()
  }

  tick(): void {
    this.ms = this.#now()
    const seconds = Math.floor(this.ms / 1000)
    if (seconds === this.seconds) return
    this.seconds = seconds
    this.date = new Date(seconds * 1000).toUTCString()
    this.generation++
  }

  start(): this {
    this.#timer ??= setInterval(() => this.tick(), 100).unref()
    return this
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}

/** A worker that lived this long was not killed by its start. */
const HEALTHY_AFTER_MS = 3_000
const FIRST_DELAY_MS = 250
const MAX_DELAY_MS = 30_000
const CRASH_LOOP_FROM = 3

/** How long to wait before a dead worker is replaced: not at all the first time, then longer and longer. */
export class BackOff {
  #earlyDeaths = 0

  /** Milliseconds to wait after a worker that lived for `livedMs`. */
  delayAfterDeathMs(livedMs: number): number {
    this.#earlyDeaths = livedMs >= HEALTHY_AFTER_MS ? 0 : this.#earlyDeaths + 1
    if (this.#earlyDeaths <= 1) return 0
    return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#earlyDeaths - 2))
  }

  get isCrashLoop(): boolean {
    return this.#earlyDeaths >= CRASH_LOOP_FROM
  }

  /** The worker has lived long enough. */
  recovered(livedMs: number): void {
    if (livedMs >= HEALTHY_AFTER_MS) this.#earlyDeaths = 0
  }
}

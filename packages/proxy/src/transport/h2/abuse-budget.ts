import type { TransportLimits } from '../limits.ts'

/** Frames without work that a connection may send at once, and how the allowance comes back. */
const MAX_IDLE_FRAMES = 2_000
const IDLE_FRAMES_PER_SECOND = 50
/** A request, or a DATA frame of ours, earns the frames that honest clients send around it. */
const IDLE_FRAMES_PER_WORK = 4

/**
 * Two counters that end a connection whose frames cost us more than they bring: streams that are reset instead of
 * finished, whoever resets them (CVE-2023-44487, CVE-2025-8671), and frames that do no work, such as PING, SETTINGS,
 * PRIORITY, empty DATA, small WINDOW_UPDATE and unknown types (CVE-2019-9512 and the like).
 */
export class AbuseBudget {
  readonly #maxResets: number
  readonly #resetWindowMs: number
  #resets: number
  #resetsSince: number
  #idleFrames: number
  #refilledAt: number

  /** All instants in ms of one monotonic clock. */
  constructor(limits: TransportLimits, now: number) {
    this.#maxResets = limits.maxStreamResets
    this.#resetWindowMs = limits.streamResetWindowMs
    this.#resets = 0
    this.#resetsSince = now
    this.#idleFrames = MAX_IDLE_FRAMES
    this.#refilledAt = now
  }

  /** False when it was one too many. */
  spendReset(now: number): boolean {
    if (now - this.#resetsSince > this.#resetWindowMs) {
      this.#resetsSince = now
      this.#resets = 0
    }
    return ++this.#resets <= this.#maxResets
  }

  /** False when the allowance is used up. */
  spendIdleFrame(now: number): boolean {
    if (--this.#idleFrames >= 0) return true
    const earned = ((now - this.#refilledAt) * IDLE_FRAMES_PER_SECOND) / 1000
    this.#refilledAt = now
    this.#idleFrames = Math.min(MAX_IDLE_FRAMES, Math.floor(earned)) - 1
    return this.#idleFrames >= 0
  }

  /** Work was done, around which that many idle frames are nothing strange. */
  earn(idleFrames: number = IDLE_FRAMES_PER_WORK): void {
    if (this.#idleFrames < MAX_IDLE_FRAMES) this.#idleFrames += idleFrames
  }
}

/** What a process dies of that reads or changes a damaged index; nothing of our own ends so. */
const CRASH_SIGNALS: ReadonlySet<string> = new Set(['SIGSEGV', 'SIGBUS', 'SIGABRT'])
const CRASHES = 2
const WITHIN_MS = 60_000
/** Crashes so soon after an index was set aside have another cause: a new one would only cost what is stored. */
const NOT_AGAIN_MS = 600_000

export type Verdict = 'unsuspected' | 'set-aside' | 'not-the-index'

/**
 * Whether the index of the disk tier is to be taken for what processes die of: a damaged page that no sample has seen
 * kills whoever comes upon it, over and over. Times are of a monotonic clock, ms.
 */
export class IndexSuspicion {
  #crashedAt: number[] = []
  #setAsideAt = Number.NEGATIVE_INFINITY

  /** A process that has the index open was ended by `signal`. */
  ended(signal: string | null, now: number): Verdict {
    if (signal === null || !CRASH_SIGNALS.has(signal)) return 'unsuspected'
    this.#crashedAt = this.#crashedAt.filter((at) => now - at < WITHIN_MS)
    this.#crashedAt.push(now)
    if (this.#crashedAt.length < CRASHES) return 'unsuspected'
    this.#crashedAt = []
    if (now - this.#setAsideAt < NOT_AGAIN_MS) return 'not-the-index'
    this.#setAsideAt = now
    return 'set-aside'
  }
}

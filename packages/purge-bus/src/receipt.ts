/** Who has not applied a purge (yet). `worker` is null when nothing is heard of the whole machine. */
export interface MissingWorker {
  readonly machine: string
  readonly worker: string | null
  /**
   * Late: alive, and not there yet. Dead: its heartbeat has stopped, nobody waits for it. Unreachable: Redis is, so that
   * nothing can be handed on to it.
   */
  readonly reason: 'late' | 'dead' | 'unreachable'
}

/** What became of a purge. */
export interface Receipt {
  /** For `PurgeBus.receipt`. */
  readonly id: string
  /** Null as long as it has none: `pending` or `scheduled`. */
  readonly number: number | null
  readonly state:
    | 'applied'
    | 'waiting'
    /** Applied on this machine, kept for the others until Redis is back. */
    | 'pending'
    | 'scheduled'
    /** It could not be handed on for so long that it was put aside: see `PurgeBus.deadLetters`. */
    | 'dead-letter'
  /** Machines of which every worker has applied it. */
  readonly machines: number
  readonly workers: number
  /** From the call of `publish` until the last worker's acknowledgement was heard; null until then. */
  readonly slowestMs: number | null
  readonly missing: readonly MissingWorker[]
}

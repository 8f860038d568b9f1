export interface Latencies {
  readonly count: number
  /** ms, all of them. */
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Nearest rank; NaN when there is nothing. */
export function latencies(all: readonly number[]): Latencies {
  const sorted = all.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

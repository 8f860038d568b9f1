import type { HistogramSnapshot, MetricsSnapshot } from './metrics.ts'
import { type MetricName, type MetricRow, metricRow } from './metrics-table.ts'

const SEPARATOR = '\u0000'

export interface MergedSeries {
  readonly row: MetricRow
  readonly labelValues: readonly string[]
  readonly value: number
}

export interface MergedMetrics {
  readonly series: readonly MergedSeries[]
  readonly histograms: readonly HistogramSnapshot[]
}

/** A series of the primary's own. */
export function seriesOf(
  name: MetricName,
  value: number,
  ...labelValues: readonly string[]
): MergedSeries {
  const row = metricRow(name)
  if (row === undefined) throw new TypeError(`There is no metric '${name}'.`)
  return { row, labelValues, value }
}

/** Adds up the numbers of all workers, and keeps what dead ones had counted: counters never go back. */
export class MetricsMerge {
  readonly #live = new Map<number, MetricsSnapshot>()
  readonly #retiredCounters = new Map<string, number>()
  readonly #retiredHistograms = new Map<string, { counts: Float64Array; sum: number }>()

  update(workerId: number, snapshot: MetricsSnapshot): void {
    this.#live.set(workerId, snapshot)
  }

  /** The worker has ended. What it counted after its last snapshot is lost: a second's worth at most. */
  retire(workerId: number): void {
    const snapshot = this.#live.get(workerId)
    if (snapshot === undefined) return
    this.#live.delete(workerId)
    addValues(this.#retiredCounters, snapshot, (row) => row.type === 'counter')
    addHistograms(this.#retiredHistograms, snapshot)
  }

  merged(): MergedMetrics {
    const totals = new Map(this.#retiredCounters)
    const histograms = new Map<string, { counts: Float64Array; sum: number }>()
    for (const [name, { counts, sum }] of this.#retiredHistograms) {
      histograms.set(name, { counts: counts.slice(), sum })
    }
    for (const snapshot of this.#live.values()) {
      addValues(totals, snapshot, () => true)
      addHistograms(histograms, snapshot)
    }
    const series = [...totals].flatMap(([key, value]) => {
      const [name, ...labelValues] = key.split(SEPARATOR)
      const row = metricRow(name)
      return row === undefined ? [] : [{ row, labelValues, value }]
    })
    const merged = [...histograms].map(([name, { counts, sum }]) => ({ name, counts, sum }))
    return { series, histograms: merged }
  }
}

function addValues(
  totals: Map<string, number>,
  snapshot: MetricsSnapshot,
  isWanted: (row: MetricRow) => boolean,
): void {
  for (const [index, key] of snapshot.keys.entries()) {
    const end = key.indexOf(SEPARATOR)
    const row = metricRow(end === -1 ? key : key.slice(0, end))
    if (row === undefined || !isWanted(row)) continue
    totals.set(key, (totals.get(key) ?? 0) + snapshot.values[index])
  }
}

function addHistograms(
  totals: Map<string, { counts: Float64Array; sum: number }>,
  snapshot: MetricsSnapshot,
): void {
  for (const { name, counts, sum } of snapshot.histograms) {
    const total = totals.get(name)
    if (total === undefined) {
      totals.set(name, { counts: counts.slice(), sum })
      continue
    }
    for (let bucket = 0; bucket < counts.length; bucket++) total.counts[bucket] += counts[bucket]
    total.sum += sum
  }
}

import { HISTOGRAM_BUCKETS, histogramBucket } from './histogram-buckets.ts'
import { METRICS, type MetricName } from './metrics-table.ts'

/** Label sets of one metric beyond this many are counted together under `other`. */
const MAX_SERIES_PER_METRIC = 1000
const SEPARATOR = '\u0000'

/** What a worker tells the primary: plain arrays that survive a structured clone. */
export interface MetricsSnapshot {
  /** Metric name, then its label values, joined by NUL: one per value. Order never changes in the life of a worker. */
  readonly keys: readonly string[]
  readonly values: Float64Array
  readonly histograms: readonly HistogramSnapshot[]
}

export interface HistogramSnapshot {
  readonly name: string
  /** Observations per bucket of `histogram-buckets.ts`. */
  readonly counts: Float64Array
  readonly sum: number
}

interface Histogram {
  readonly name: string
  readonly counts: Float64Array
  sum: number
}

/**
 * The numbers of one worker. Callers look a series up once (`series`, `histogram`), keep its index, and count with
 * one addition into a typed array; nothing is allocated per request and nothing here grows without bound, whatever
 * clients send.
 */
export class WorkerMetrics {
  #values = new Float64Array(256)
  readonly #keys: string[] = []
  readonly #indexByKey = new Map<string, number>()
  readonly #seriesOfMetric = new Map<string, number>()
  readonly #histograms: Histogram[] = []

  constructor() {
    for (const row of METRICS) {
      if (row.by !== 'worker') continue
      if (row.type === 'histogram') {
        this.#histograms.push({
          name: row.name,
          counts: new Float64Array(HISTOGRAM_BUCKETS),
          sum: 0,
        })
      } else if (row.labels.length === 0) {
        this.#create(row.name)
      }
    }
  }

  /**
   * Index of a counter or gauge with these label values, in the order of the table. Costs a look-up by string: keep
   * the result where it is used for every request.
   */
  series(name: MetricName, ...labelValues: string[]): number {
    const key = labelValues.length === 0 ? name : name + SEPARATOR + labelValues.join(SEPARATOR)
    const known = this.#indexByKey.get(key)
    if (known !== undefined) return known
    const row = METRICS.find((metric) => metric.name === name)
    if (row === undefined || row.type === 'histogram' || row.labels.length !== labelValues.length) {
      throw new TypeError(`Metric '${name}' does not take ${labelValues.length} label values.`)
    }
    const count = this.#seriesOfMetric.get(name) ?? 0
    if (count >= MAX_SERIES_PER_METRIC) {
      const otherKey = [name, ...row.labels.map(() => 'other')].join(SEPARATOR)
      return this.#indexByKey.get(otherKey) ?? this.#create(otherKey)
    }
    this.#seriesOfMetric.set(name, count + 1)
    return this.#create(key)
  }

  add(series: number, amount: number): void {
    this.#values[series] += amount
  }

  increment(series: number): void {
    this.#values[series]++
  }

  /** For gauges. */
  set(series: number, value: number): void {
    this.#values[series] = value
  }

  /** Index for `observe`. */
  histogram(name: MetricName): number {
    const index = this.#histograms.findIndex((histogram) => histogram.name === name)
    if (index === -1) throw new TypeError(`Metric '${name}' is not a histogram.`)
    return index
  }

  observe(histogram: number, seconds: number): void {
    const target = this.#histograms[histogram]
    target.counts[histogramBucket(seconds)]++
    target.sum += seconds
  }

  snapshot(): MetricsSnapshot {
    return {
      keys: this.#keys.slice(),
      values: this.#values.slice(0, this.#keys.length),
      histograms: this.#histograms.map((histogram) => ({
        name: histogram.name,
        counts: histogram.counts.slice(),
        sum: histogram.sum,
      })),
    }
  }

  #create(key: string): number {
    const index = this.#keys.length
    if (index === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#keys.push(key)
    this.#indexByKey.set(key, index)
    return index
  }
}

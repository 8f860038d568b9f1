import fc from 'fast-check'
import t from 'tap'
import {
  bucketBoundSeconds,
  HISTOGRAM_BUCKETS,
  histogramBucket,
  quantileSeconds,
} from './histogram-buckets.ts'
import { WorkerMetrics } from './metrics.ts'

function counted(metrics: WorkerMetrics, key: string): number | undefined {
  const { keys, values } = metrics.snapshot()
  const index = keys.indexOf(key)
  return index === -1 ? undefined : values[index]
}

t.test('a counter without labels starts at zero and adds up', async (t) => {
  const metrics = new WorkerMetrics()
  t.equal(counted(metrics, 'larder_response_bytes_total'), 0)
  const series = metrics.series('larder_response_bytes_total')
  metrics.add(series, 40)
  metrics.increment(series)
  t.equal(counted(metrics, 'larder_response_bytes_total'), 41)
})

t.test('the same label values are the same series, others are not', async (t) => {
  const metrics = new WorkerMetrics()
  const hit = metrics.series('larder_requests_total', 'acme', 'hit', '2xx', '2')
  t.equal(metrics.series('larder_requests_total', 'acme', 'hit', '2xx', '2'), hit)
  t.not(metrics.series('larder_requests_total', 'acme', 'stale', '2xx', '2'), hit)
})

t.test('label sets beyond the bound are counted together, and nothing grows', async (t) => {
  const metrics = new WorkerMetrics()
  for (let index = 0; index < 5000; index++) {
    metrics.increment(metrics.series('larder_refused_requests_total', `reason-${index}`))
  }
  const { keys, values } = metrics.snapshot()
  const own = keys.filter((key) => key.startsWith('larder_refused_requests_total'))
  t.equal(own.length, 1001)
  t.equal(values[keys.indexOf('larder_refused_requests_total\u0000other')], 4000)
})

t.test('wrong label counts are a programming error', async (t) => {
  const metrics = new WorkerMetrics()
  t.throws(() => metrics.series('larder_refused_requests_total'), /0 label values/)
  t.throws(() => metrics.histogram('larder_memory_bytes'), /not a histogram/)
})

t.test('every duration falls into the bucket whose bounds enclose it', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0x7fffffff }), (microseconds) => {
      const seconds = microseconds / 1e6
      const bucket = histogramBucket(seconds)
      const below = bucket === 0 ? 0 : bucketBoundSeconds(bucket - 1)
      return (
        bucket < HISTOGRAM_BUCKETS &&
        seconds <= bucketBoundSeconds(bucket) * 1.000001 &&
        seconds > below * 0.999999
      )
    }),
  )
  const bounds = Array.from({ length: HISTOGRAM_BUCKETS }, (_, bucket) =>
    bucketBoundSeconds(bucket),
  )
  t.same(
    bounds,
    bounds.toSorted((a, b) => a - b),
  )
  t.equal(histogramBucket(Number.NaN), 0)
  t.equal(histogramBucket(-1), 0)
  t.ok(histogramBucket(1e9) < HISTOGRAM_BUCKETS)
})

t.test('a quantile is at most 25 % above the true one', async (t) => {
  const metrics = new WorkerMetrics()
  const histogram = metrics.histogram('larder_request_duration_seconds')
  for (let index = 1; index <= 1000; index++) metrics.observe(histogram, index / 1000)
  const { counts, sum } = metrics.snapshot().histograms[histogram]
  const p99 = quantileSeconds(counts, 0.99)
  t.ok(p99 >= 0.99 && p99 <= 0.99 * 1.25, `p99 is ${p99}`)
  t.ok(Math.abs(sum - 500.5) < 1e-6)
})

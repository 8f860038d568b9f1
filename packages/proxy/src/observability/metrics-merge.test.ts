import t from 'tap'
import { WorkerMetrics } from './metrics.ts'
import { MetricsMerge } from './metrics-merge.ts'
import { renderPrometheus } from './prometheus.ts'

function workerThatAnswered(count: number, bytesHeld: number): WorkerMetrics {
  const metrics = new WorkerMetrics()
  metrics.add(metrics.series('larder_requests_total', 'a', 'hit', '2xx', '2'), count)
  metrics.set(metrics.series('larder_memory_bytes'), bytesHeld)
  const duration = metrics.histogram('larder_request_duration_seconds')
  for (let index = 0; index < count; index++) metrics.observe(duration, 0.001)
  return metrics
}

t.test('workers add up, and counters of dead ones stay while their gauges go', async (t) => {
  const merge = new MetricsMerge()
  merge.update(1, workerThatAnswered(2, 100).snapshot())
  merge.update(2, workerThatAnswered(3, 50).snapshot())
  merge.update(2, workerThatAnswered(4, 60).snapshot())
  merge.retire(1)
  merge.retire(1)
  const text = renderPrometheus(merge.merged())
  const lines = text.split('\n')
  const requests = 'larder_requests_total{tenant="a",cache="hit",status_class="2xx",protocol="2"}'
  t.ok(lines.includes(`${requests} 6`))
  t.ok(lines.includes('larder_memory_bytes 60'))
  t.ok(lines.includes('larder_request_duration_seconds_count 6'))
  t.ok(lines.includes('larder_request_duration_seconds_bucket{le="+Inf"} 6'))
  t.ok(lines.includes('larder_request_duration_seconds_bucket{le="0.000512"} 0'))
  t.ok(lines.includes('larder_request_duration_seconds_bucket{le="0.001024"} 6'))
})

t.test('label values cannot break out of their line', async (t) => {
  const metrics = new WorkerMetrics()
  metrics.increment(metrics.series('larder_refused_requests_total', 'a"b\\c\nd'))
  const merge = new MetricsMerge()
  merge.update(1, metrics.snapshot())
  t.match(renderPrometheus(merge.merged()), '{reason="a\\"b\\\\c\\nd"} 1\n')
})

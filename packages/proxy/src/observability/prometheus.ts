import { bucketBoundSeconds } from './histogram-buckets.ts'
import type { HistogramSnapshot } from './metrics.ts'
import type { MergedMetrics } from './metrics-merge.ts'
import type { MetricRow } from './metrics-table.ts'
import { METRICS } from './metrics-table.ts'

/**
 * The Prometheus text format 0.0.4. Written by hand: the numbers are already added up and bucketed, and a client
 * library would want to count for itself.
 */
export function renderPrometheus(merged: MergedMetrics): string {
  const lines: string[] = []
  // The table's type lists each row's literal values; here a row is any row.
  for (const row of METRICS as readonly MetricRow[]) {
    lines.push(`# HELP ${row.name} ${row.help}`, `# TYPE ${row.name} ${row.type}`)
    if (row.type === 'histogram') {
      const histogram = merged.histograms.find((candidate) => candidate.name === row.name)
      if (histogram !== undefined) pushHistogram(lines, histogram)
      continue
    }
    for (const series of merged.series) {
      if (series.row.name !== row.name) continue
      lines.push(`${row.name}${labels(row.labels, series.labelValues)} ${series.value}`)
    }
  }
  return `${lines.join('\n')}\n`
}

/** Powers of two are enough for a graph, with a quarter of the lines. */
function pushHistogram(lines: string[], histogram: HistogramSnapshot): void {
  let cumulative = 0
  for (let bucket = 0; bucket < histogram.counts.length; bucket++) {
    cumulative += histogram.counts[bucket]
    if (bucket % 4 !== 3) continue
    lines.push(`${histogram.name}_bucket{le="${bucketBoundSeconds(bucket)}"} ${cumulative}`)
  }
  lines.push(
    `${histogram.name}_bucket{le="+Inf"} ${cumulative}`,
    `${histogram.name}_sum ${histogram.sum}`,
    `${histogram.name}_count ${cumulative}`,
  )
}

function labels(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return ''
  const pairs = names.map((name, index) => `${name}="${escaped(values[index] ?? '')}"`)
  return `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

import type { BusStatus } from '@larder/purge-bus'
import { quantileSeconds } from '../observability/histogram-buckets.ts'
import type { MergedMetrics } from '../observability/metrics-merge.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'

export interface WorkerStats {
  readonly slot: number
  readonly state: string
  readonly pid: number | null
  readonly upSeconds: number
  readonly restarts: number
  readonly crashLoop: boolean
  readonly draining: number
  readonly residentBytes: number
  readonly eventLoopLagSeconds: number
  readonly lastError: string | null
}

export function workerStats(supervisor: Supervisor): WorkerStats[] {
  return supervisor.slots.map((slot) => {
    const { worker } = slot
    return {
      slot: slot.index,
      state: slot.state,
      pid: worker?.pid ?? null,
      upSeconds: worker === undefined ? 0 : (performance.now() - worker.startedAt) / 1000,
      restarts: slot.restarts,
      crashLoop: slot.isCrashLoop,
      draining: slot.drainingCount,
      residentBytes: worker?.lastBeat?.residentBytes ?? 0,
      eventLoopLagSeconds: worker?.lastBeat?.eventLoopLagSeconds ?? 0,
      lastError: slot.lastError ?? null,
    }
  })
}

export interface Stats {
  readonly uptimeSeconds: number
  readonly workersServing: number
  readonly workers: number
  readonly requests: number
  /** Requests by what the cache did. */
  readonly requestsByCache: Readonly<Record<string, number>>
  /** Requests by tenant, then by what the cache did. */
  readonly tenants: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly responseBytes: number
  readonly originBytes: number
  readonly memoryBytes: number
  readonly memoryObjects: number
  /** null before the bus is up. */
  readonly purges: BusStatus | null
  readonly durationSeconds: { readonly p50: number; readonly p99: number }
  readonly firstByteSeconds: { readonly p50: number; readonly p99: number }
}

/** What an operator asks first. With `tenant`, of that tenant alone. */
export function stats(supervisor: Supervisor, tenant: string | undefined): Partial<Stats> {
  const metrics = supervisor.metrics()
  const requestsByCache: Record<string, number> = {}
  // Names of tenants come from the configuration, whose pattern lets no prototype name through but 'constructor'.
  const tenants: Record<string, Record<string, number>> = Object.create(null)
  let requests = 0
  for (const { row, labelValues, value } of metrics.series) {
    if (row.name !== 'larder_requests_total') continue
    const [name, cache] = labelValues
    if (tenant !== undefined && name !== tenant) continue
    requests += value
    requestsByCache[cache] = (requestsByCache[cache] ?? 0) + value
    tenants[name] ??= {}
    tenants[name][cache] = (tenants[name][cache] ?? 0) + value
  }
  if (tenant !== undefined) return { requests, requestsByCache, tenants }
  return {
    uptimeSeconds: (Date.now() - supervisor.startedAt) / 1000,
    workersServing: supervisor.slots.filter((slot) => slot.state === 'serving').length,
    workers: supervisor.slots.length,
    requests,
    requestsByCache,
    tenants,
    responseBytes: valueOfSeries(metrics, 'larder_response_bytes_total'),
    originBytes: valueOfSeries(metrics, 'larder_origin_bytes_total'),
    memoryBytes: valueOfSeries(metrics, 'larder_memory_bytes'),
    memoryObjects: valueOfSeries(metrics, 'larder_memory_objects'),
    purges: supervisor.purges.status(),
    durationSeconds: quantiles(metrics, 'larder_request_duration_seconds'),
    firstByteSeconds: quantiles(metrics, 'larder_first_byte_seconds'),
  }
}

function valueOfSeries(metrics: MergedMetrics, name: string): number {
  return metrics.series.find((series) => series.row.name === name)?.value ?? 0
}

function quantiles(metrics: MergedMetrics, name: string): { p50: number; p99: number } {
  const counts = metrics.histograms.find((histogram) => histogram.name === name)?.counts
  if (counts === undefined) return { p50: 0, p99: 0 }
  return { p50: quantileSeconds(counts, 0.5), p99: quantileSeconds(counts, 0.99) }
}

import { type MergedSeries, seriesOf as series } from '../observability/metrics-merge.ts'
import { certificateSeries } from './certificates/certificate-series.ts'
import type { Supervisor } from './supervisor.ts'
import type { WorkerSlot } from './worker-slot.ts'

/** What the primary itself has to tell, in the moment it is asked. */
export function primarySeries(supervisor: Supervisor): MergedSeries[] {
  const { slots, reloads } = supervisor
  const perSlot = slots.flatMap((slot) => slotSeries(slot))
  const states = ['serving', 'starting', 'waiting', 'stopped'].map((state) =>
    series('larder_workers', slots.filter((slot) => slot.state === state).length, state),
  )
  return [
    ...states,
    ...perSlot,
    series('larder_config_reloads_total', reloads.applied, 'applied'),
    series('larder_config_reloads_total', reloads.refused, 'refused'),
    ...purgeSeries(supervisor),
    ...diskSeries(supervisor),
    ...acmeSeries(supervisor),
    ...certificateSeries(supervisor.certificates),
    series('larder_uptime_seconds', (Date.now() - supervisor.startedAt) / 1000),
  ]
}

function purgeSeries({ purges }: Supervisor): MergedSeries[] {
  const status = purges.status()
  if (status === null) return []
  const { state, number, pending, deadLetters, scheduled } = status
  const { entries, folds } = purges.tableStats
  const states = ['connected', 'catching-up', 'cut-off'].map((kind) =>
    series('larder_purge_bus', state.kind === kind ? 1 : 0, kind),
  )
  return [
    ...states,
    series('larder_purge_number', number),
    series('larder_purges_waiting', pending, 'redis'),
    series('larder_purges_waiting', scheduled, 'time'),
    series('larder_purges_waiting', deadLetters, 'dead-letter'),
    series('larder_purge_entries', entries),
    series('larder_purge_folds_total', folds),
  ]
}

function diskSeries({ eviction, indexesSetAside }: Supervisor): MergedSeries[] {
  if (eviction === null) return []
  const { usedBytes, evictedSegments, evictedFiles, reinsertedRecords } = eviction.counts
  return [
    series('larder_disk_bytes', usedBytes),
    series('larder_disk_evictions_total', evictedSegments, 'segments'),
    series('larder_disk_evictions_total', evictedFiles, 'files'),
    series('larder_disk_evictions_total', reinsertedRecords, 'kept-records'),
    series('larder_disk_indexes_set_aside_total', indexesSetAside),
  ]
}

function acmeSeries({ acme }: Supervisor): MergedSeries[] {
  const all = acme.status()
  const { issued, failed } = acme.counts
  if (all.length === 0 && issued + failed === 0) return []
  const earliest = (instants: (number | undefined)[]) =>
    Math.min(...instants.filter((at) => at !== undefined)) / 1000
  const counts = [
    series('larder_acme_orders_total', issued, 'issued'),
    series('larder_acme_orders_total', failed, 'failed'),
    series(
      'larder_acme_certificates',
      all.filter((each) => each.notAfterAt !== undefined).length,
      'issued',
    ),
    series(
      'larder_acme_certificates',
      all.filter((each) => each.notAfterAt === undefined).length,
      'awaited',
    ),
    series('larder_acme_certificates', all.filter((each) => each.failures > 0).length, 'failing'),
  ]
  const nextAt = earliest(all.map((each) => each.nextAt))
  const expiresAt = earliest(all.map((each) => each.notAfterAt))
  if (Number.isFinite(nextAt)) {
    counts.push(series('larder_acme_next_attempt_timestamp_seconds', nextAt))
  }
  if (Number.isFinite(expiresAt)) {
    counts.push(series('larder_acme_first_expiry_timestamp_seconds', expiresAt))
  }
  return counts
}

function slotSeries(slot: WorkerSlot): MergedSeries[] {
  const name = String(slot.index)
  const all = [
    series('larder_worker_restarts_total', slot.restarts, name),
    series('larder_worker_crash_loop', slot.isCrashLoop ? 1 : 0, name),
  ]
  const beat = slot.worker?.lastBeat
  if (beat !== undefined) {
    all.push(
      series('larder_worker_resident_bytes', beat.residentBytes, name),
      series('larder_worker_event_loop_lag_seconds', beat.eventLoopLagSeconds, name),
    )
  }
  return all
}

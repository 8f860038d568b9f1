import { daysLeft } from '@larder/certs'
import { type MergedSeries, seriesOf } from '../../observability/metrics-merge.ts'
import type { CertificateService } from './certificate-service.ts'
import { SOURCE_KINDS } from './known-set.ts'

/** Names that have a series of their own: those that expire first. */
const MAX_NAMES = 500

/** Days left by name, for what is configured, stored or in use; a folder may have many more. */
export function certificateSeries(service: CertificateService): MergedSeries[] {
  const { index, counts } = service
  const now = service.now()
  const known = new Map<string, number>(SOURCE_KINDS.map((source) => [source, 0]))
  const days: { name: string; left: number }[] = []
  for (const set of index.sets) {
    known.set(set.source, (known.get(set.source) ?? 0) + 1)
    const [name] = set.names
    if (name === undefined || set.facts === undefined || !set.owner.isInUse(set)) continue
    days.push({ name, left: daysLeft(set.facts, now) })
  }
  days.sort((a, b) => a.left - b.left)
  return [
    ...[...known].map(([source, count]) => seriesOf('larder_certificates', count, source)),
    ...[...counts.loads].map(([source, count]) =>
      seriesOf('larder_certificate_loads_total', count, source),
    ),
    ...[...counts.refusals].map(([source, count]) =>
      seriesOf('larder_certificate_refusals_total', count, source),
    ),
    ...leastByName(days).map(([name, left]) =>
      seriesOf('larder_certificate_days_left', left, name),
    ),
  ]
}

/** A name that two sources have is told once: with what expires first. */
function leastByName(days: readonly { name: string; left: number }[]): [string, number][] {
  const byName = new Map<string, number>()
  for (const { name, left } of days) {
    if (byName.size >= MAX_NAMES) break
    if (!byName.has(name)) byName.set(name, left)
  }
  return [...byName]
}

import type { EvictionOrder } from '../../../proxy/src/storage/eviction/eviction-order.ts'
import { S3Fifo } from '../../../proxy/src/storage/eviction/s3-fifo.ts'
import { TRACES } from '../traces/catalogue.ts'
import { Fifo } from './fifo.ts'
import { Lru } from './lru.ts'
import { type HitRatios, replay, workload } from './replay.ts'
import { Sieve } from './sieve.ts'

/** The policies in the order of their columns; S3-FIFO is the one that the memory tier runs. */
export const POLICIES: readonly { readonly name: string; make(): EvictionOrder }[] = [
  { name: 'LRU', make: () => new Lru() },
  { name: 'FIFO', make: () => new Fifo() },
  { name: 'SIEVE', make: () => new Sieve() },
  { name: 'S3-FIFO', make: () => new S3Fifo() },
]

/** Sizes of the cache, in proportion to the bytes of all objects of a trace. */
export const CAPACITY_SHARES = [0.001, 0.01, 0.03, 0.1, 0.3] as const

export interface Comparison {
  readonly trace: string
  readonly capacityShare: number
  readonly capacityBytes: number
  readonly policy: string
  readonly ratios: HitRatios
}

export interface CompareOptions {
  readonly seed: number
  readonly requests: number
  readonly objects: number
}

/** Every policy on every trace at every size. `onTrace` hears the name of each trace that is done. */
export function comparePolicies(
  options: CompareOptions,
  onTrace: (name: string) => void = () => undefined,
): Comparison[] {
  const results: Comparison[] = []
  for (const make of TRACES) {
    const work = workload(make(options), options.requests)
    for (const capacityShare of CAPACITY_SHARES) {
      const capacityBytes = Math.round(work.footprintBytes * capacityShare)
      for (const policy of POLICIES) {
        const ratios = replay(work, policy.make(), capacityBytes)
        results.push({
          trace: work.name,
          capacityShare,
          capacityBytes,
          policy: policy.name,
          ratios,
        })
      }
    }
    onTrace(work.name)
  }
  return results
}

/** Markdown: object and byte hit ratio in percent; the best object hit ratio of a row is bold. */
export function comparisonTable(results: readonly Comparison[]): string {
  const lines = [
    `| Trace | Cache | ${POLICIES.map(({ name }) => name).join(' | ')} |`,
    `|---|---:|${POLICIES.map(() => '---:|').join('')}`,
  ]
  for (const first of results.filter(({ policy }) => policy === POLICIES[0].name)) {
    const row = results.filter(
      ({ trace, capacityShare }) => trace === first.trace && capacityShare === first.capacityShare,
    )
    const best = Math.max(...row.map(({ ratios }) => ratios.objects))
    const cells = row.map(({ ratios }) => {
      const objects = percent(ratios.objects)
      const isBest = percent(best) === objects
      return `${isBest ? `**${objects}**` : objects} / ${percent(ratios.bytes)}`
    })
    const size = `${percent(first.capacityShare)} % (${mebibytes(first.capacityBytes)})`
    lines.push(`| ${first.trace} | ${size} | ${cells.join(' | ')} |`)
  }
  lines.push(`| **all, on average** | | ${averages(results).join(' | ')} |`)
  lines.push(`| **farthest behind the best of a row** | | ${farthest(results).join(' | ')} |`)
  return lines.join('\n')
}

function averages(results: readonly Comparison[]): string[] {
  return POLICIES.map(({ name }) => {
    const of = results.filter(({ policy }) => policy === name)
    const mean = (pick: (ratios: HitRatios) => number) =>
      of.reduce((sum, { ratios }) => sum + pick(ratios), 0) / of.length
    return `${percent(mean(({ objects }) => objects))} / ${percent(mean(({ bytes }) => bytes))}`
  })
}

/** Points of object hit ratio: what a policy costs where it fits least. */
function farthest(results: readonly Comparison[]): string[] {
  const best = new Map<string, number>()
  const rowOf = ({ trace, capacityShare }: Comparison) => `${trace} ${capacityShare}`
  for (const one of results) {
    best.set(rowOf(one), Math.max(best.get(rowOf(one)) ?? 0, one.ratios.objects))
  }
  return POLICIES.map(({ name }) => {
    const of = results.filter(({ policy }) => policy === name)
    return percent(Math.max(...of.map((one) => (best.get(rowOf(one)) ?? 0) - one.ratios.objects)))
  })
}

function percent(share: number): string {
  return (share * 100).toFixed(1)
}

function mebibytes(bytes: number): string {
  const mebi = bytes / 1024 ** 2
  return mebi < 1024 ? `${mebi.toFixed(0)} MiB` : `${(mebi / 1024).toFixed(1)} GiB`
}

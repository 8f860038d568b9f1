import type { Census } from '../storage/memory-census.ts'
import { type StoredTally, sumOfTallies, type TallySum } from '../storage/stored-tally.ts'
import type { EvictorCensus } from './messages.ts'

/** What a purge would cover on this machine. */
export interface DryRun extends TallySum {
  readonly dryRun: true
  /** Bytes of bodies. What is in several places counts once above, and in each of them here. */
  readonly memory: TallySum
  readonly disk: TallySum
  readonly hottest: readonly {
    readonly url: string
    readonly uses: number
    readonly bytes: number
  }[]
  /** False when not everything was looked at: the figures are the least. */
  readonly complete: boolean
}

/** `disk` is undefined without a disk tier, null when it gave no answer. */
export function dryRunOf(memory: Census, disk: EvictorCensus | null | undefined): DryRun {
  const inMemory = memory.tallies
  const onDisk: StoredTally[] = disk === null || disk === undefined ? [] : [disk.tally]
  return {
    dryRun: true,
    ...sumOfTallies([...inMemory, ...onDisk]),
    memory: sumOfTallies(inMemory),
    disk: sumOfTallies(onDisk),
    hottest: memory.hottest.map(({ key, uses, bytes }) => ({
      url: key.slice(key.indexOf('\n') + 1),
      uses,
      bytes,
    })),
    complete: memory.complete && (disk === undefined || disk?.complete === true),
  }
}

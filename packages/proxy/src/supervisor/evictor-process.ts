import { PurgeTable } from '@larder/purge-bus'
import { resolveUrlBy } from '../pipeline/purge-keys.ts'
import { factsOf } from '../purge/purges.ts'
import { wouldPurge } from '../purge/would-purge.ts'
import { Evictor } from '../storage/disk/evictor.ts'
import { tagHash } from '../storage/disk/tag-hash.ts'
import type { StoredMetadata } from '../storage/stored-response.ts'
import type { DiskCensusQuery, EvictorCensus, FromEvictor, ToEvictor } from './messages.ts'

/**
 * Entry of the process that evicts from the disk tier: it has the index open, and whoever comes upon a damaged page of
 * it dies. The primary must not.
 */

let evictor: Evictor | undefined

// The primary ends this process; it may be killed at any moment.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) {
  process.on(signal, () => {})
}
// Not by `exit`, which would wait for calls to a disk that hangs.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

process.on('message', (message: ToEvictor) => {
  switch (message.type) {
    case 'start':
      evictor ??= new Evictor({
        ...message.options,
        onTrouble({ message, code }: NodeJS.ErrnoException) {
          tell({ type: 'eviction-trouble', message, code: code?.toString() })
        },
        onRound: () => tellCounts(),
      }).start()
      return
    case 'take-census': {
      const { id, query } = message
      void census(query).then((census) => tell({ type: 'census', id, census }))
      return
    }
    case 'hits':
      evictor?.noteHits(message.places)
      return
  }
})

async function census(query: DiskCensusQuery): Promise<EvictorCensus | null> {
  const resolve = resolveUrlBy(query)
  const inForce = PurgeTable.restore(query.purgeTable, { resolve })
  const covers = wouldPurge(query.purge, resolve)
  try {
    const counts = (stored: StoredMetadata) =>
      covers(stored) && inForce.validity(factsOf(stored)) !== 'purged'
    return (await evictor?.census(counts, tagsOf(query))) ?? null
  } catch {
    // The disk is in trouble; the workers say so.
    return null
  }
}

function tagsOf({ purge }: DiskCensusQuery): Buffer[] | undefined {
  if (purge.type !== 'tag') return undefined
  return purge.tags.map((tag) => tagHash(purge.tenant, tag))
}

function tellCounts(): void {
  if (evictor !== undefined) tell({ type: 'eviction-round', counts: { ...evictor.counts } })
}

function tell(message: FromEvictor): void {
  // When the channel has just closed, 'disconnect' follows and is what is acted upon.
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

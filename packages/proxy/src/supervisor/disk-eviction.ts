import { chownSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import { Evictor } from '../storage/disk/evictor.ts'
import type { Identity } from './messages.ts'

/** The primary's part of the disk tier: its folder, owned by whoever the workers become, and its size. */
export function evictorFor(
  config: Config,
  identity: Identity | undefined,
  logger: Logger,
): Evictor | null {
  const { disk } = config
  if (disk === undefined) return null
  prepareFolder(disk.path, identity, logger)
  let told = ''
  return new Evictor({
    path: disk.path,
    maxSizeBytes: disk.maxSizeBytes,
    minFreeBytes: disk.minFreeBytes,
    owner: identity,
    onTrouble(error) {
      // One line per kind of trouble, not one per round.
      if (error.message !== told) logger.error({ err: error }, 'the disk tier cannot be evicted')
      told = error.message
    },
  })
}

function prepareFolder(path: string, identity: Identity | undefined, logger: Logger): void {
  try {
    const folders = [path, join(path, 'segments'), join(path, 'large'), join(path, 'index')]
    for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (identity !== undefined) handOver(path, identity)
  } catch (error) {
    // The workers find the same and say that the tier is off; it comes back when the folder does.
    logger.warn({ err: error }, 'the folder of the disk tier cannot be made')
  }
}

/** Walks the folder only when it is somebody else's: new, or of another user's workers. */
function handOver(path: string, { uid, gid }: Identity): void {
  if (statSync(path).uid === uid && statSync(join(path, 'index')).uid === uid) return
  for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
    chownSync(join(path, name), uid, gid)
  }
  // Last: as long as this has not come to its end, the next start does it again.
  chownSync(path, uid, gid)
}

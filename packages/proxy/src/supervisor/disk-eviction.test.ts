import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, statSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import t from 'tap'
import { temporaryFolder } from '../storage/test-support/disk.ts'
import { recordFiles } from '../storage/test-support/disk-files.ts'
import { DiskEviction } from './disk-eviction.ts'

/** `nobody`: somebody else than root on every system. */
const NOBODY = { uid: 65_534, gid: 65_534 }
const FILLER = new URL('../storage/test-support/disk-filler.ts', import.meta.url)
/** Only root can become somebody else, and somebody else may not be let into the folder that this project is in. */
const { error } = spawnSync(process.execPath, ['--check', FILLER.pathname], NOBODY)
const asNobody = { skip: error === undefined ? false : `no process of another user: ${error}` }

t.test(
  'workers of another user store, and the primary evicts what is theirs',
  asNobody,
  async (t) => {
    const outer = temporaryFolder(t)
    chmodSync(outer, 0o755)
    const path = join(outer, 'cache')
    const disk = { path, maxSizeBytes: 16 * 1024 * 1024, minFreeBytes: 0 }
    const lines: string[] = []
    const logger = pino({}, { write: (line) => lines.push(line) })
    const eviction = new DiskEviction({ disk, identity: NOBODY, logger, onEnded: () => {} })
    t.teardown(() => eviction.stop())
    eviction.start()
    const child = fork(FILLER, [path, 's'], NOBODY)
    t.teardown(() => child.kill('SIGKILL'))
    await once(child, 'message')
    const segments = Array.from({ length: 200 }, (_, i) => i)
    while (eviction.counts.evictedSegments < 30) {
      eviction.noteHits(segments.flatMap((segment) => [segment, 0]))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    child.kill('SIGKILL')
    await once(child, 'exit')
    for (const file of [path, join(path, 'index', 'data.mdb'), ...recordFiles(path, 'segments')]) {
      t.equal(statSync(file).uid, NOBODY.uid, file.slice(path.length))
    }
    t.same(lines, [], 'nothing to complain of')
  },
)

import { execFile } from 'node:child_process'
import { availableParallelism } from 'node:os'
import type { Logger } from '../observability/logger.ts'

let isTold = false

/** Keeps a worker on one core, so that its caches stay warm. Without `taskset` it runs where the kernel likes. */
export function pinToCore(pid: number, slot: number, logger: Logger): void {
  const core = slot % availableParallelism()
  execFile('taskset', ['-cp', String(core), String(pid)], { timeout: 5000 }, (error) => {
    if (error === null || isTold) return
    isTold = true
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'not found' : error.message
    logger.warn({ reason }, "workers are not pinned to cores: 'taskset' (util-linux) failed")
  })
}

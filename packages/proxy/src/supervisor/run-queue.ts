import { readFileSync } from 'node:fs'

/**
 * How long a process's main thread has waited for a core since it began, ms: Linux, `/proc/PID/schedstat`. 0 where that
 * is not told.
 */
export function runQueueWaitMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6 || 0
  } catch {
    return 0
  }
}

export class DiskTimeoutError extends Error {
  constructor(deadlineMs: number) {
    super(`the disk has not answered within ${deadlineMs} ms`)
  }
}

/** A timer that is later than this tells of a busy event loop, not of a slow disk. */
const LATE_MS = 50
const MAX_EXTENSIONS = 3

/**
 * Settles as `work` does, or rejects with `DiskTimeoutError`; what the work comes to later is not told. An answer that
 * waits for a busy event loop has come in time: then the deadline begins again, a few times at most.
 */
export function withinDeadline<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    let extensions = 0
    let timer: NodeJS.Timeout
    const wait = () => {
      const dueAt = performance.now() + deadlineMs
      timer = setTimeout(() => {
        const lateMs = performance.now() - dueAt
        if (lateMs > LATE_MS && extensions++ < MAX_EXTENSIONS) wait()
        else reject(new DiskTimeoutError(deadlineMs))
      }, deadlineMs)
    }
    wait()
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Threads of the pool that are never the disk's: names, compression and TLS need one, too. */
const THREADS_FOR_OTHERS = 2
/** The size that libuv gives its pool when nothing says another. */
const DEFAULT_THREADS = 4
/** Calls that wait for one of their threads; more, and the disk is in trouble. */
const MAX_WAITING = 10_000

/**
 * Lets only so many calls be with libuv's thread pool at the same time. A call to a disk that hangs keeps its thread until
 * the disk answers, and with all threads gone nothing else would get one.
 */
export class DiskCalls {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Rejects as `call` does, or when too many wait. No call may be made inside of another. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else if (this.#waiting.length >= MAX_WAITING)
      throw new Error('too many calls wait for the disk')
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await call()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/** Of the process, as the pool is: all calls of the disk tier go through it. */
export const diskCalls = new DiskCalls(
  Math.max(1, Number(process.env.UV_THREADPOOL_SIZE ?? DEFAULT_THREADS) - THREADS_FOR_OTHERS),
)

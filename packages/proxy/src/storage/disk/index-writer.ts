import { Worker } from 'node:worker_threads'
import { type IndexChange, type IndexResult, UnusableIndexError } from './disk-index.ts'
import type { IndexAnswer, IndexThreadData } from './index-thread.ts'

interface Waiting {
  readonly change: IndexChange
  readonly resolve: (result: IndexResult) => void
  readonly reject: (error: Error) => void
}

/** Changes of one transaction: more, and the other processes wait for too long. */
const MAX_BATCH = 256
/** A thread that is lost in a damaged file is ended. */
const MAX_CLOSE_MS = 2_000

/**
 * Changes the index from a thread: a transaction waits for the locks of other processes and for the disk, neither of
 * which the event loop may. What comes while one batch is under way makes the next.
 */
export class IndexWriter {
  readonly #thread: Worker
  #waiting: Waiting[] = []
  #sent: Waiting[] = []
  #failed: Error | null = null
  readonly #ended: Promise<void>

  constructor(place: IndexThreadData) {
    this.#thread = new Worker(new URL('./index-thread.ts', import.meta.url), {
      workerData: place,
      name: 'disk index',
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 },
    })
    this.#thread.on('message', (answer: IndexAnswer) => this.#answered(answer))
    this.#thread.on('error', (error: Error) => this.#end(error))
    this.#ended = new Promise((resolve) => {
      this.#thread.on('exit', () => {
        this.#end(new Error('the thread of the disk index ended'))
        resolve()
      })
    })
    this.#thread.unref()
  }

  /** Settles when the change is committed. */
  change(change: IndexChange): Promise<IndexResult> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== null) return reject(this.#failed)
      this.#waiting.push({ change, resolve, reject })
      if (this.#sent.length === 0) this.#send()
    })
  }

  #send(): void {
    this.#sent = this.#waiting.splice(0, MAX_BATCH)
    if (this.#sent.length === 0) return this.#thread.unref()
    this.#thread.ref()
    this.#thread.postMessage(this.#sent.map(({ change }) => change))
  }

  #answered(answer: IndexAnswer): void {
    const sent = this.#sent
    if (answer.results === null) {
      const error = errorOf(answer)
      for (const { reject } of sent) reject(error)
    } else {
      const { results } = answer
      for (const [i, { resolve }] of sent.entries()) resolve(results[i])
    }
    this.#send()
  }

  #end(error: Error): void {
    this.#failed ??= error
    for (const { reject } of [...this.#sent, ...this.#waiting]) reject(this.#failed)
    this.#sent = []
    this.#waiting = []
  }

  /** What waits is not written any more. */
  async close(): Promise<void> {
    this.#failed ??= new Error('the disk index is closed')
    this.#thread.ref()
    this.#thread.postMessage('close')
    const tooLong = setTimeout(() => void this.#thread.terminate(), MAX_CLOSE_MS)
    await this.#ended
    clearTimeout(tooLong)
  }
}

function errorOf({ message, code, isUnusable }: IndexAnswer): Error {
  if (isUnusable) return new UnusableIndexError(message)
  return Object.assign(new Error(message), code === undefined ? {} : { code })
}

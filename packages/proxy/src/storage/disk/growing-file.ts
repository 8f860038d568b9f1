import { fstat } from 'node:fs'
import type { BodyBacking, Insertion } from '../storage-tier.ts'
import { PIECE_DEADLINE_MS } from './disk-body-read.ts'
import { diskCalls } from './disk-calls.ts'
import { readExactly } from './disk-files.ts'
import { MAX_SMALL_BYTES } from './disk-insertion.ts'
import type { ReadFiles } from './read-files.ts'
import { withinDeadline } from './within-deadline.ts'

/** The file is looked at this often while somebody wants to know. */
const LOOK_INTERVAL_MS = 20
/** A file that is so often found no longer than before, and shorter than what has come, was given up by its writer. */
const MAX_STILL_LOOKS = 100

/**
 * A large body that another worker of this machine is storing in a file of its own, and sends here meanwhile: what memory
 * has let go of is read from that file. Takes the bytes as they come without keeping them.
 */
export class GrowingFile implements Insertion, BodyBacking {
  readonly committed = null
  readonly #files: ReadFiles
  readonly #number: number
  #receivedBytes = 0
  #writtenBytes = 0
  #stillLooks = 0
  #lookedAt = 0
  #looking = false
  #failed = false

  constructor(files: ReadFiles, number: number) {
    this.#files = files
    this.#number = number
  }

  get backing(): BodyBacking {
    return this
  }

  /**
   * Never more than what has come: behind the body the file has its head. Of a body that is not large yet nothing is
   * looked for: should it end like that, its number is another's.
   */
  get writtenBytes(): number {
    if (this.#receivedBytes <= MAX_SMALL_BYTES) return 0
    if (this.#writtenBytes < this.#receivedBytes) void this.#look()
    return Math.min(this.#writtenBytes, this.#receivedBytes)
  }

  get failed(): boolean {
    return this.#failed
  }

  write(chunk: Buffer): boolean {
    this.#receivedBytes += chunk.length
    return true
  }

  read(first: number, end: number): Promise<Buffer> {
    const bytes = this.#files.use(this.#number, true, (fd) => readExactly(fd, first, end - first))
    return withinDeadline(bytes, PIECE_DEADLINE_MS)
  }

  async #look(): Promise<void> {
    const now = performance.now()
    if (this.#looking || this.#failed || now - this.#lookedAt < LOOK_INTERVAL_MS) return
    this.#looking = true
    this.#lookedAt = now
    try {
      // Its number is known before there is a file.
      this.#saw(await this.#files.use(this.#number, true, sizeOf))
    } catch {
      this.#saw(0)
    } finally {
      this.#looking = false
    }
  }

  #saw(bytes: number): void {
    if (bytes > this.#writtenBytes) {
      this.#writtenBytes = bytes
      this.#stillLooks = 0
    } else if (++this.#stillLooks > MAX_STILL_LOOKS) this.#failed = true
  }

  /** The body is complete: whoever is still behind reads on. */
  commit(): void {}

  abandon(): void {}
}

function sizeOf(fd: number): Promise<number> {
  return diskCalls.run(
    () =>
      new Promise((resolve, reject) =>
        fstat(fd, (error, stats) => (error === null ? resolve(stats.size) : reject(error))),
      ),
  )
}

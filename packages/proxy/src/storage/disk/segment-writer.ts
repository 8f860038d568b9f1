import { chown } from 'node:fs/promises'
import { dirname } from 'node:path'
import { closeFile, createNumbered, isUnlinked, segmentPath, writeAll } from './disk-files.ts'

interface Pending {
  readonly buffers: Buffer[]
  readonly bytes: number
  readonly resolve: (place: Place) => void
  readonly reject: (error: Error) => void
}

export interface FileOwner {
  readonly uid: number
  readonly gid: number
}

export interface Place {
  readonly segment: number
  readonly offset: number
}

/** One write gathers what has come meanwhile, up to this. */
const MAX_GATHERED_BYTES = 4 * 1024 * 1024
/** What may wait for the disk; beyond it new responses are not stored. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024

/**
 * Appends records to the segment of this process, one write at a time. A record is only known once its write is done;
 * after a failed write the segment is left behind, since nobody can say what of it is there.
 */
export class SegmentWriter {
  readonly #folder: string
  readonly #segmentBytes: number
  readonly #nextSegment: () => Promise<number>
  readonly #owner: FileOwner | undefined
  #waiting: Pending[] = []
  #waitingBytes = 0
  #writing: Promise<void> | null = null
  #fd: number | null = null
  #segment = 0
  #length = 0

  /** `owner`: whose the files become, when it is not the process's own. */
  constructor(
    folder: string,
    segmentBytes: number,
    nextSegment: () => Promise<number>,
    owner?: FileOwner,
  ) {
    this.#folder = folder
    this.#segmentBytes = segmentBytes
    this.#nextSegment = nextSegment
    this.#owner = owner
  }

  get full(): boolean {
    return this.#waitingBytes > MAX_WAITING_BYTES
  }

  /** Settles when the record is with the kernel. */
  append(buffers: Buffer[]): Promise<Place> {
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ buffers, bytes, resolve, reject })
      this.#waitingBytes += bytes
      this.#writing ??= this.#write()
    })
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch()
      try {
        const fd = await this.#file()
        const offset = this.#length
        await writeAll(
          fd,
          batch.flatMap(({ buffers }) => buffers),
          offset,
        )
        let at = offset
        for (const { bytes, resolve } of batch) {
          resolve({ segment: this.#segment, offset: at })
          at += bytes
        }
        this.#length = at
        if (at >= this.#segmentBytes) this.#leave()
      } catch (error) {
        this.#leave()
        for (const { reject } of batch) reject(error as Error)
      } finally {
        for (const { bytes } of batch) this.#waitingBytes -= bytes
      }
    }
    this.#writing = null
  }

  #takeBatch(): Pending[] {
    const batch: Pending[] = []
    let bytes = 0
    while (bytes < Math.min(MAX_GATHERED_BYTES, this.#segmentBytes)) {
      const next = this.#waiting[batch.length]
      if (next === undefined) break
      batch.push(next)
      bytes += next.bytes
    }
    this.#waiting.splice(0, batch.length)
    return batch
  }

  async #file(): Promise<number> {
    // A segment that was evicted, or its folder removed, while it was written: records in it would never be found.
    if (this.#fd !== null && (await isUnlinked(this.#fd))) this.#leave()
    if (this.#fd !== null) return this.#fd
    const pathOf = (number: number) => segmentPath(this.#folder, number)
    const { fd, number } = await createNumbered(this.#nextSegment, pathOf)
    this.#segment = number
    this.#length = 0
    this.#fd = fd
    const owner = this.#owner
    if (owner !== undefined) {
      // The folder, too: it may just have been made.
      for (const path of [pathOf(number), dirname(pathOf(number))]) {
        await chown(path, owner.uid, owner.gid)
      }
    }
    return fd
  }

  #leave(): void {
    if (this.#fd !== null) closeFile(this.#fd)
    this.#fd = null
  }

  /** What comes next goes into another segment than this one. */
  async leaveSegment(segment: number): Promise<void> {
    if (segment === this.#segment) await this.close()
  }

  async close(): Promise<void> {
    await this.#writing
    this.#leave()
  }
}

import { type FileHandle, open } from 'node:fs/promises'
import { encodeRecord } from './journal-record.ts'

/** Values of one record; more wait for the next. */
const MAX_VALUES = 2_000

interface Waiting {
  readonly value: unknown
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

/**
 * Appends to a journal. What comes while a record is written and synced goes into the next one together, so that the
 * disk's slowness costs time and not throughput. Whoever appends bounds what waits here.
 */
export class JournalWriter {
  readonly #file: FileHandle
  readonly #sync: boolean
  #bytes: number
  #waiting: Waiting[] = []
  #running: Promise<void> | null = null

  private constructor(file: FileHandle, bytes: number, sync: boolean) {
    this.#file = file
    this.#bytes = bytes
    this.#sync = sync
  }

  /** `soundBytes`: what of the file is to stay. With `sync`, what was appended survives a power cut. */
  static async open(path: string, soundBytes: number, sync: boolean): Promise<JournalWriter> {
    const file = await open(path, soundBytes === 0 ? 'w' : 'r+')
    await file.truncate(soundBytes)
    return new JournalWriter(file, soundBytes, sync)
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Resolves when the value is on disk. In order. */
  append(value: unknown): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ value, done, failed })
      this.#running ??= this.#run()
    })
  }

  async close(): Promise<void> {
    await this.#running
    await this.#file.close()
  }

  async #run(): Promise<void> {
    // The rest of this turn belongs to the same record.
    await null
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_VALUES)
      try {
        await this.#write(encodeRecord(batch.map(({ value }) => value)))
        for (const { done } of batch) done()
      } catch (error) {
        for (const { failed } of batch) failed(error)
      }
    }
    this.#running = null
  }

  async #write(record: Buffer): Promise<void> {
    try {
      let written = 0
      while (written < record.length) {
        const at = this.#bytes + written
        const { bytesWritten } = await this.#file.write(record, written, undefined, at)
        written += bytesWritten
      }
      if (this.#sync) await this.#file.datasync()
      this.#bytes += record.length
    } catch (error) {
      // A part of it would stand in the way of the next one. Should this fail too, the next one overwrites it.
      await this.#file.truncate(this.#bytes).catch(() => {})
      throw error
    }
  }
}

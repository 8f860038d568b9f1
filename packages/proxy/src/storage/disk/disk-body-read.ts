import { crc32 } from 'node:zlib'
import { BLOCK_BYTES } from '../record.ts'
import type { BodyRead } from '../shared-tier.ts'
import { readExactly } from './disk-files.ts'
import type { FileLease, ReadFiles } from './read-files.ts'
import { withinDeadline } from './within-deadline.ts'

/** For one piece: longer than for a look-up, since there is no other way to what the client was promised. */
export const PIECE_DEADLINE_MS = 2_000
/** Blocks read at a time: 256 KiB. */
const BLOCKS_PER_READ = 4

export class CorruptRecordError extends Error {}

/** Where a body lies. */
export interface BodyPlace {
  readonly segment: number
  readonly large: boolean
  readonly offset: number
  readonly bytes: number
  readonly checksums: readonly number[]
}

/**
 * Reads a range of a body block by block; each block is verified before any of it is handed on. The file stays open
 * from the first piece to the last: a body that is evicted or replaced meanwhile is read to its end.
 */
export class DiskBodyRead implements BodyRead {
  readonly #files: ReadFiles
  readonly #place: BodyPlace
  readonly #end: number
  readonly #onFailure: (error: Error) => void
  #position: number
  #lease: FileLease | null = null
  #reading = false
  #closed = false

  constructor(
    files: ReadFiles,
    place: BodyPlace,
    first: number,
    end: number,
    onFailure: (error: Error) => void,
  ) {
    this.#files = files
    this.#place = place
    this.#position = first
    this.#end = Math.min(end, place.bytes)
    this.#onFailure = onFailure
  }

  async next(): Promise<Buffer | null> {
    if (this.#closed) return null
    if (this.#position >= this.#end) {
      this.close()
      return null
    }
    this.#reading = true
    const piece = this.#piece()
    try {
      return await withinDeadline(piece, PIECE_DEADLINE_MS)
    } catch (error) {
      this.#closed = true
      // What `openFile`, `readExactly` and `#verify` reject with is an Error.
      this.#onFailure(error as Error)
      throw error
    } finally {
      // One that was given up keeps its file until it ends: its descriptor must not become another file's.
      void piece.catch(() => undefined).then(() => this.#ended())
    }
  }

  #ended(): void {
    this.#reading = false
    if (this.#closed || this.#position >= this.#end) this.close()
  }

  async #piece(): Promise<Buffer> {
    const { segment, large, offset, bytes } = this.#place
    this.#lease ??= await this.#files.lease(segment, large)
    const firstBlock = Math.floor(this.#position / BLOCK_BYTES)
    const start = firstBlock * BLOCK_BYTES
    const neededEnd = Math.ceil(this.#end / BLOCK_BYTES) * BLOCK_BYTES
    const end = Math.min(start + BLOCKS_PER_READ * BLOCK_BYTES, neededEnd, bytes)
    const read = await readExactly(this.#lease.fd, offset + start, end - start)
    this.#verify(read, firstBlock)
    const piece = read.subarray(this.#position - start, Math.min(end, this.#end) - start)
    this.#position += piece.length
    return piece
  }

  #verify(read: Buffer, firstBlock: number): void {
    for (let at = 0, block = firstBlock; at < read.length; at += BLOCK_BYTES, block++) {
      if (crc32(read.subarray(at, at + BLOCK_BYTES)) === this.#place.checksums[block]) continue
      throw new CorruptRecordError(`block ${block} of a stored body is not what was stored`)
    }
  }

  close(): void {
    this.#closed = true
    // A read under way ends first.
    if (!this.#reading) this.#lease?.end()
  }
}

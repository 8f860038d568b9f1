import { crc32 } from 'node:zlib'
import { BLOCK_BYTES, encodeHead } from '../record.ts'
import type { BodyBacking, Insertion } from '../storage-tier.ts'
import { contentLengthOf, type StoredMetadata } from '../stored-response.ts'
import { PIECE_DEADLINE_MS } from './disk-body-read.ts'
import {
  closeFile,
  createFile,
  createNumbered,
  largePath,
  readExactly,
  writeAll,
} from './disk-files.ts'
import type { ReadFiles } from './read-files.ts'
import { withinDeadline } from './within-deadline.ts'

/** What is stored so far, as the tier sees it when it is complete. */
export type Written =
  | { readonly kind: 'small'; readonly body: Buffer }
  | {
      readonly kind: 'large'
      readonly number: number
      readonly bodyBytes: number
      readonly headBytes: number
    }

export interface InsertionHost {
  readonly folder: string
  readonly files: ReadFiles
  /** Of segments and large files. */
  nextNumber(): Promise<number>
  /** One that was taken beforehand and is not needed. */
  giveBackNumber(number: number): void
  /**
   * Nothing must be visible before this is called. `written` is null when writing failed after all. Settles, and never
   * rejects, when look-ups can find it, or never will.
   */
  commit(metadata: StoredMetadata, keyHash: Buffer, written: Promise<Written | null>): Promise<void>
  /** Work under way; it reports its own failures. */
  track(work: Promise<unknown>): void
  failed(error: Error): void
  removeLarge(number: number): void
}

/** Bodies up to this go into segments, whole and in one write; larger ones into a file of their own, as they come. */
export const MAX_SMALL_BYTES = 1024 * 1024
/** At the end of a large file: the length of its head, u32. */
const FOOTER_BYTES = 4
/** What may wait for the disk; an origin that is faster for longer is not stored. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024

export interface Expected {
  /** Number of its file, should it become large; undefined: taken when it does. */
  readonly file: number | undefined
  /** Of another number of bytes nothing is stored; undefined when it is not known. */
  readonly bytes: number | undefined
  readonly maxBytes: number
}

export class DiskInsertion implements Insertion {
  readonly #host: InsertionHost
  readonly #metadata: StoredMetadata
  readonly #keyHash: Buffer
  readonly #expected: Expected
  #chunks: Buffer[] = []
  #bytes = 0
  #large: LargeFile | null = null
  #open = true
  committed: Promise<void> | null = null

  constructor(host: InsertionHost, metadata: StoredMetadata, keyHash: Buffer, expected: Expected) {
    this.#host = host
    this.#expected = expected
    this.#metadata = metadata
    this.#keyHash = keyHash
  }

  get file(): number | undefined {
    return this.#expected.file
  }

  /** Bodies in a file of their own can be followed while they grow. */
  get backing(): BodyBacking | null {
    return this.#large
  }

  write(chunk: Buffer): boolean {
    if (!this.#open) return false
    this.#bytes += chunk.length
    if (this.#bytes > this.#expected.maxBytes) {
      this.abandon()
      return false
    }
    if (this.#large === null) {
      this.#chunks.push(chunk)
      if (this.#bytes > MAX_SMALL_BYTES) {
        this.#large = new LargeFile(this.#host, this.file)
        for (const held of this.#chunks) this.#large.write(held)
        this.#chunks = []
      }
    } else this.#large.write(chunk)
    if (this.#large === null || this.#large.healthy) return true
    this.abandon()
    return false
  }

  commit(): void {
    if (!this.#open) return
    if (this.#bytes !== (this.#expected.bytes ?? this.#bytes)) return this.abandon()
    this.#open = false
    if (this.#metadata.status !== 204) {
      const length = contentLengthOf(this.#metadata, this.#bytes)
      this.#metadata.fields.set('content-length', length)
    }
    this.committed = this.#host.commit(this.#metadata, this.#keyHash, this.#written())
  }

  async #written(): Promise<Written | null> {
    if (this.#large !== null) return this.#large.finish(this.#metadata, this.#keyHash, this.#bytes)
    const body = Buffer.concat(this.#chunks, this.#bytes)
    this.#chunks = []
    // No one who has read along can have more of it than what never is in a file.
    if (this.file !== undefined) this.#host.giveBackNumber(this.file)
    return { kind: 'small', body }
  }

  abandon(): void {
    if (!this.#open) return
    this.#open = false
    this.#chunks = []
    // Its number stays taken: whoever reads along elsewhere still may look for the file.
    this.#large?.discard()
  }
}

/** Body first, as it comes; the head follows when the checksums are known. Without an index entry it does not exist. */
class LargeFile implements BodyBacking {
  readonly #host: InsertionHost
  #number = 0
  readonly #checksums: number[] = []
  #queue: Promise<void>
  #fd = -1
  #position = 0
  #waitingBytes = 0
  #blockBytes = 0
  #blockChecksum = 0
  #failed = false

  constructor(host: InsertionHost, file: number | undefined) {
    this.#host = host
    const pathOf = (number: number) => largePath(host.folder, number)
    const created =
      file === undefined
        ? createNumbered(() => host.nextNumber(), pathOf)
        : createFile(pathOf(file)).then((fd) => ({ fd, number: file }))
    this.#queue = created.then(
      ({ fd, number }) => {
        this.#fd = fd
        this.#number = number
      },
      (error: Error) => this.#fail(error),
    )
  }

  get writtenBytes(): number {
    return this.#position
  }

  get failed(): boolean {
    return this.#failed
  }

  read(first: number, end: number): Promise<Buffer> {
    const length = end - first
    const bytes = this.#host.files.use(this.#number, true, (fd) => readExactly(fd, first, length))
    return withinDeadline(bytes, PIECE_DEADLINE_MS)
  }

  get healthy(): boolean {
    return !this.#failed && this.#waitingBytes <= MAX_WAITING_BYTES
  }

  write(chunk: Buffer): void {
    this.#sum(chunk)
    this.#waitingBytes += chunk.length
    this.#queue = this.#queue.then(async () => {
      if (this.#failed) return
      try {
        await writeAll(this.#fd, [chunk], this.#position)
        this.#position += chunk.length
      } catch (error) {
        this.#fail(error as Error)
      } finally {
        this.#waitingBytes -= chunk.length
      }
    })
  }

  /** Checksums by block, whatever pieces the body comes in. */
  #sum(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const piece = chunk.subarray(at, at + BLOCK_BYTES - this.#blockBytes)
      this.#blockChecksum = crc32(piece, this.#blockChecksum)
      this.#blockBytes += piece.length
      at += piece.length
      if (this.#blockBytes === BLOCK_BYTES) this.#endBlock()
    }
  }

  #endBlock(): void {
    this.#checksums.push(this.#blockChecksum)
    this.#blockChecksum = 0
    this.#blockBytes = 0
  }

  async finish(
    metadata: StoredMetadata,
    keyHash: Buffer,
    bodyBytes: number,
  ): Promise<Written | null> {
    if (this.#blockBytes > 0) this.#endBlock()
    await this.#queue
    if (this.#failed) return null
    const head = encodeHead(keyHash, metadata, this.#checksums, 0)
    // Its own length at the very end lets eviction find the head without the index.
    const footer = Buffer.alloc(FOOTER_BYTES)
    footer.writeUInt32BE(head.length)
    try {
      await writeAll(this.#fd, [head, footer], bodyBytes)
    } catch (error) {
      this.#fail(error as Error)
      return null
    }
    closeFile(this.#fd)
    this.#fd = -1
    return { kind: 'large', number: this.#number, bodyBytes, headBytes: head.length }
  }

  discard(): void {
    this.#failed = true
    this.#host.track(this.#queue.then(() => this.#remove()))
  }

  #fail(error: Error): void {
    if (this.#failed) return
    this.#failed = true
    this.#host.failed(error)
    this.#remove()
  }

  #remove(): void {
    // Without a descriptor there is no file of this body.
    if (this.#fd === -1) return
    closeFile(this.#fd)
    this.#fd = -1
    this.#host.removeLarge(this.#number)
  }
}

import { readdir, statfs, stat as statOf, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { hashOf } from '../content-hash.ts'
import { HEAD_BYTES, headLength, inlineBodyBytes, keyHashOf } from '../record.ts'
import { closeFile, largePath, openFile, readExactly, segmentPath } from './disk-files.ts'
import { DiskIndex, type Location } from './disk-index.ts'
import { FOOTER_BYTES } from './disk-insertion.ts'
import { indexMapBytes, segmentBytesFor } from './disk-tier.ts'
import { type FileOwner, SegmentWriter } from './segment-writer.ts'

export interface EvictorOptions {
  readonly path: string
  /** Segments, large files and index together, bytes. */
  readonly maxSizeBytes: number
  /** The file system keeps at least this free, bytes, whoever else writes to it. */
  readonly minFreeBytes: number
  /** Who the workers are, when it is not the process's own user. */
  readonly owner?: FileOwner
  onTrouble(error: Error): void
}

export interface EvictorCounts {
  usedBytes: number
  evictedSegments: number
  evictedFiles: number
  reinsertedRecords: number
}

interface StoredFile {
  readonly number: number
  readonly large: boolean
  readonly path: string
  bytes: number
}

const INTERVAL_MS = 500
/** Places in use that are remembered, over all segments. */
const MAX_HITS = 1_000_000
/** At most this much of an evicted segment is kept: more, and eviction would free nothing. */
const MAX_REINSERTED_SHARE = 0.25

/**
 * Holds the disk tier to its size: takes the oldest segment (or file) as a whole, writes what of it was read lately
 * again behind the newest, and forgets the rest. It runs in the primary, which holds no client data, so a large
 * eviction delays nobody.
 */
export class Evictor {
  readonly counts: EvictorCounts = {
    usedBytes: 0,
    evictedSegments: 0,
    evictedFiles: 0,
    reinsertedRecords: 0,
  }
  readonly #options: EvictorOptions
  readonly #segmentBytes: number
  readonly #hits = new Map<number, Set<number>>()
  #hitCount = 0
  #index: DiskIndex | null = null
  #writer: SegmentWriter | null = null
  readonly #sizes = new Map<string, number>()
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> | null = null

  constructor(options: EvictorOptions) {
    this.#options = options
    this.#segmentBytes = segmentBytesFor(options.maxSizeBytes)
  }

  start(): this {
    this.#timer = setInterval(() => void this.run(), INTERVAL_MS)
    this.#timer.unref()
    return this
  }

  /** Records that were read, as workers report them: pairs of segment and offset. */
  noteHits(places: readonly number[]): void {
    for (let i = 0; i + 1 < places.length; i += 2) {
      if (this.#hitCount >= MAX_HITS) return
      let offsets = this.#hits.get(places[i])
      if (offsets === undefined) {
        offsets = new Set()
        this.#hits.set(places[i], offsets)
      }
      const before = offsets.size
      offsets.add(places[i + 1])
      this.#hitCount += offsets.size - before
    }
  }

  /** One round; rounds never overlap. Failures are told and tried again in the next. */
  run(): Promise<void> {
    this.#running ??= this.#round()
      .catch((error: Error) => this.#options.onTrouble(error))
      .finally(() => {
        this.#running = null
      })
    return this.#running
  }

  async #round(): Promise<void> {
    const files = await this.#files()
    const index = await sizeOf(join(this.#options.path, 'index', 'data.mdb'))
    let used = index + files.reduce((sum, file) => sum + file.bytes, 0)
    const free = await this.#freeBytes()
    let wanted = Math.max(used - this.#options.maxSizeBytes, this.#options.minFreeBytes - free)
    this.counts.usedBytes = used
    for (const file of files) {
      if (wanted <= 0) return
      // The newest segments are being written.
      if (files.length - files.indexOf(file) <= 2) return
      const kept = await this.#evict(file)
      used -= file.bytes - kept
      wanted -= file.bytes - kept
      this.counts.usedBytes = used
    }
  }

  /** Oldest first. Full segments do not change any more, so their size is asked for once. */
  async #files(): Promise<StoredFile[]> {
    const { path } = this.#options
    const files: StoredFile[] = []
    for (const name of await names(join(path, 'segments'))) {
      const number = Number.parseInt(name, 16)
      files.push({ number, large: false, path: segmentPath(path, number), bytes: 0 })
    }
    for (const folder of await names(join(path, 'large'))) {
      for (const name of await names(join(path, 'large', folder))) {
        const number = Number.parseInt(name, 16)
        files.push({ number, large: true, path: largePath(path, number), bytes: 0 })
      }
    }
    files.sort((a, b) => a.number - b.number)
    for (const [i, file] of files.entries()) {
      const recent = files.length - i <= 64
      file.bytes = (recent ? undefined : this.#sizes.get(file.path)) ?? (await sizeOf(file.path))
      this.#sizes.set(file.path, file.bytes)
    }
    return files
  }

  async #freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#options.path)
    return bavail * bsize
  }

  /** Bytes written again. */
  async #evict(file: StoredFile): Promise<number> {
    const index = this.#open()
    const hot = this.#hits.get(file.number) ?? new Set()
    this.#hits.delete(file.number)
    this.#hitCount -= hot.size
    let kept = 0
    if (file.large) {
      this.counts.evictedFiles++
      await this.#forgetLarge(file, index)
    } else {
      this.counts.evictedSegments++
      kept = await this.#walk(file, index, hot)
    }
    await unlink(file.path).catch(ignoreMissing)
    this.#sizes.delete(file.path)
    return kept
  }

  async #forgetLarge(file: StoredFile, index: DiskIndex): Promise<void> {
    const fd = await openFile(file.path, 'r')
    try {
      const { size } = await statOf(file.path)
      const footer = await readExactly(fd, Math.max(0, size - FOOTER_BYTES), FOOTER_BYTES)
      const headAt = size - FOOTER_BYTES - footer.readUInt32BE(0)
      if (headAt < 0) return
      const start = await readExactly(fd, headAt, HEAD_BYTES)
      if (headLength(start) === undefined) return
      const keyHash = Buffer.from(keyHashOf(start))
      const entry = (await index.find(keyHash)).find(({ segment }) => segment === file.number)
      if (entry !== undefined) await index.remove(keyHash, entry)
    } catch (error) {
      // Cut while it was written: nothing refers to it.
      if ((error as NodeJS.ErrnoException).code === 'EIO') throw error
    } finally {
      closeFile(fd)
    }
  }

  /** Every record of a segment: those in use move on, the others leave the index. */
  async #walk(file: StoredFile, index: DiskIndex, hot: ReadonlySet<number>): Promise<number> {
    const fd = await openFile(file.path, 'r')
    let kept = 0
    try {
      let offset = 0
      while (offset + HEAD_BYTES <= file.bytes) {
        const start = await readExactly(fd, offset, HEAD_BYTES)
        const headBytes = headLength(start)
        // A torn tail, or a segment that something else has written to: nothing behind it can be found.
        if (headBytes === undefined) break
        const length = headBytes + inlineBodyBytes(start)
        if (offset + length > file.bytes) break
        const bytes = await readExactly(fd, offset, length)
        const reinsert = hot.has(offset) && kept + length < file.bytes * MAX_REINSERTED_SHARE
        await this.#leave(index, file.number, offset, bytes, headBytes, reinsert)
        if (reinsert) kept += length
        offset += length
      }
    } finally {
      closeFile(fd)
    }
    return kept
  }

  async #leave(
    index: DiskIndex,
    segment: number,
    offset: number,
    bytes: Buffer,
    headBytes: number,
    reinsert: boolean,
  ): Promise<void> {
    const keyHash = Buffer.from(keyHashOf(bytes))
    const body = bytes.subarray(headBytes)
    const entry = (await index.find(keyHash)).find(
      (location) => location.segment === segment && location.offset === offset,
    )
    if (entry !== undefined && reinsert) await this.#moveOn(index, keyHash, entry, bytes, headBytes)
    else if (entry !== undefined) await index.remove(keyHash, entry)
    if (body.length > 0) await index.removeBody(hashOf(body), segment)
  }

  async #moveOn(
    index: DiskIndex,
    keyHash: Buffer,
    entry: Location,
    bytes: Buffer,
    headBytes: number,
  ): Promise<void> {
    const place = await this.#openWriter(index).append([bytes])
    const inline = bytes.length > headBytes
    await index.put(keyHash, {
      ...entry,
      ...place,
      bodySegment: inline ? place.segment : entry.bodySegment,
      bodyOffset: inline ? place.offset + headBytes : entry.bodyOffset,
    })
    this.counts.reinsertedRecords++
  }

  #open(): DiskIndex {
    this.#index ??= new DiskIndex(this.#options.path, indexMapBytes(this.#options.maxSizeBytes))
    return this.#index
  }

  #openWriter(index: DiskIndex): SegmentWriter {
    const { path, owner } = this.#options
    this.#writer ??= new SegmentWriter(path, this.#segmentBytes, () => index.nextSegment(), owner)
    return this.#writer
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#running
    await this.#writer?.close()
    await this.#index?.close()
  }
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    ignoreMissing(error as NodeJS.ErrnoException)
    return []
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    // Blocks, not length: LMDB's file may have holes.
    const { blocks } = await statOf(path)
    return blocks * 512
  } catch (error) {
    ignoreMissing(error as NodeJS.ErrnoException)
    return 0
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

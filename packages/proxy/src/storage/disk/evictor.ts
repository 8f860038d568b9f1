import { statfs, unlink } from 'node:fs/promises'
import type { StoredMetadata } from '../stored-response.ts'
import { TallyBuilder } from '../stored-tally.ts'
import { type DiskCensus, takeDiskCensus } from './disk-census.ts'
import { DiskIndex } from './disk-index.ts'
import { type EvictionTools, emptyLarge, emptySegment } from './evict-file.ts'
import { HotPlaces } from './hot-places.ts'
import { indexPath } from './index-file.ts'
import { IndexSweep } from './index-sweep.ts'
import { OWN_FILE } from './location.ts'
import { checkIndexFile, indexMapBytes, segmentBytesFor } from './open-disk.ts'
import { type FileOwner, SegmentWriter } from './segment-writer.ts'
import { ignoreMissing, type StoredFile, StoredFiles, spaceOf } from './stored-files.ts'

export interface EvictorOptions {
  readonly path: string
  /** Segments, large files and index together, bytes. */
  readonly maxSizeBytes: number
  /** The file system keeps at least this free, bytes, whoever else writes to it. */
  readonly minFreeBytes: number
  /** Who the workers are, when it is not the process's own user. */
  readonly owner?: FileOwner
  onTrouble(error: Error): void
  /** After each round that `start` has begun. */
  onRound?(): void
}

export interface EvictorCounts {
  usedBytes: number
  evictedSegments: number
  evictedFiles: number
  reinsertedRecords: number
}

export const NOTHING_EVICTED: Readonly<EvictorCounts> = {
  usedBytes: 0,
  evictedSegments: 0,
  evictedFiles: 0,
  reinsertedRecords: 0,
}

const INTERVAL_MS = 500
/** A round may take this share of the time: with millions of files there are fewer rounds. */
const MAX_BUSY_SHARE = 0.1
/** Of what is evicted this share may be written again because it is in use: more, and eviction would free nothing. */
const KEPT_SHARE = 0.25
/** That may be saved up for one long record after many short ones. */
const MAX_KEPT_BYTES = 8 * 1024 * 1024
/** What of the expected growth is left after a round without any. */
const GROWTH_MEMORY = 0.99
/** The newest files are being written. */
const NEWEST_KEPT = 2

/**
 * Holds the disk tier to its size: takes the oldest segment (or file) as a whole, writes what of it was read lately
 * again behind the newest, and forgets the rest. It runs in a process of its own, so that neither a large eviction nor
 * a damaged index is anybody else's trouble.
 */
export class Evictor {
  readonly counts: EvictorCounts = { ...NOTHING_EVICTED }
  readonly #options: EvictorOptions
  readonly #segmentBytes: number
  readonly #hot = new HotPlaces()
  readonly #files: StoredFiles
  readonly #sweep = new IndexSweep()
  #tools: EvictionTools | null = null
  /** What there was after the last round: what came since may come again before the next. */
  #leftBytes: number | null = null
  #expectedGrowthBytes = 0
  /** What may be written again of the segments to come. */
  #mayKeepBytes = 0
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> | null = null
  #closed = false

  constructor(options: EvictorOptions) {
    this.#options = options
    this.#segmentBytes = segmentBytesFor(options.maxSizeBytes)
    this.#files = new StoredFiles(options.path)
  }

  start(): this {
    this.#schedule(INTERVAL_MS)
    return this
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return
    this.#timer = setTimeout(async () => {
      const startedAt = performance.now()
      await this.run()
      this.#options.onRound?.()
      const tookMs = performance.now() - startedAt
      this.#schedule(Math.max(INTERVAL_MS, tookMs / MAX_BUSY_SHARE))
    }, delayMs)
    this.#timer.unref()
  }

  /** Records that were read, as workers report them: pairs of segment and offset. */
  noteHits(places: readonly number[]): void {
    this.#hot.note(places)
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

  /** Counts what is on disk, beside the rounds; `tags` as for `takeDiskCensus`. Rejects when the disk cannot be read. */
  async census(
    counts: (stored: StoredMetadata) => boolean,
    tags: readonly Buffer[] | undefined,
  ): Promise<DiskCensus> {
    const tools = this.#tools
    if (tools === null) return { tally: new TallyBuilder(), complete: true }
    return takeDiskCensus(tools.folder, tools.index, counts, tags)
  }

  async #round(): Promise<void> {
    const files = await this.#files.list()
    const index = await spaceOf(indexPath(this.#options.path))
    this.counts.usedBytes = index + files.reduce((sum, file) => sum + file.bytes, 0)
    const tools = await this.#open(index)
    let wanted = await this.#wantedBytes()
    const last = files.length - NEWEST_KEPT
    for (let i = 0; i < last && wanted > 0; i++) {
      const freed = await this.#evict(files[i], tools)
      this.counts.usedBytes -= freed
      wanted -= freed
    }
    this.#leftBytes = this.counts.usedBytes
    if (tools !== null) await this.#sweep.step(tools, files)
  }

  /**
   * More than what is over the limit: the most that came between two rounds lately is expected to come again, and every
   * worker has a segment to write. So the limit holds between rounds, too.
   */
  async #wantedBytes(): Promise<number> {
    const { maxSizeBytes, minFreeBytes, path } = this.#options
    const { usedBytes } = this.counts
    const grownBytes = usedBytes - (this.#leftBytes ?? usedBytes)
    this.#expectedGrowthBytes = Math.max(grownBytes, this.#expectedGrowthBytes * GROWTH_MEMORY)
    const neededBytes = this.#expectedGrowthBytes + 2 * this.#segmentBytes
    const roomBytes = Math.min(maxSizeBytes / 8, neededBytes)
    const { bavail, bsize } = await statfs(path)
    // A file system smaller than the tier is a limit, too.
    const freeBytes = Math.max(minFreeBytes, 4 * this.#segmentBytes)
    return Math.max(usedBytes - (maxSizeBytes - roomBytes), freeBytes - bavail * bsize)
  }

  /** Bytes that it freed. */
  async #evict(file: StoredFile, tools: EvictionTools | null): Promise<number> {
    const hot = this.#hot.take(file.number)
    let keptBytes = 0
    try {
      const evicted = await this.#empty(file, tools, hot)
      if (evicted === null) return 0
      keptBytes = evicted.keptBytes
      this.counts.reinsertedRecords += evicted.keptRecords
    } catch (error) {
      // On a full disk the index cannot change. The file goes all the same: entries without one are misses, and swept.
      this.#options.onTrouble(error as Error)
    }
    await unlink(file.path).catch(ignoreMissing)
    if (file.large) this.counts.evictedFiles++
    else this.counts.evictedSegments++
    return file.bytes - keptBytes
  }

  async #empty(file: StoredFile, tools: EvictionTools | null, hot: ReadonlySet<number>) {
    // Without an index nothing refers to it.
    if (tools === null) return { keptBytes: 0, keptRecords: 0 }
    if (file.large) return emptyLarge(tools, file, hot.has(OWN_FILE))
    const mayKeepBytes = this.#mayKeepBytes + file.bytes * KEPT_SHARE
    const evicted = await emptySegment(tools, file, hot, mayKeepBytes)
    this.#mayKeepBytes = Math.min(MAX_KEPT_BYTES, mayKeepBytes - evicted.keptBytes)
    return evicted
  }

  /** The index is the workers' to make: one of the primary's making they could not write. */
  async #open(indexBytes: number): Promise<EvictionTools | null> {
    const { path, maxSizeBytes, owner } = this.#options
    if (this.#tools !== null) {
      try {
        await checkIndexFile(path, this.#tools.index)
        return this.#tools
      } catch {
        // The workers have made a new one, or will.
        await this.#letGo()
      }
    }
    if (indexBytes === 0) return null
    const index = new DiskIndex(path, indexMapBytes(maxSizeBytes))
    const next = async () => index.apply([{ kind: 'takeNumber' }])[0].number
    const segments = new SegmentWriter(path, this.#segmentBytes, next, owner)
    this.#tools = { folder: path, index, segments }
    return this.#tools
  }

  async #letGo(): Promise<void> {
    const tools = this.#tools
    this.#tools = null
    await tools?.segments.close()
    await tools?.index.close()
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#running
    await this.#letGo()
  }
}

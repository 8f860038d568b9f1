import { mkdirSync, unlink } from 'node:fs'
import { join } from 'node:path'
import { hashOf } from '../content-hash.ts'
import { blockChecksums, decodeHead, encodeHead, slotOf } from '../record.ts'
import type { BodyRead, SharedTier, StoredHandle } from '../shared-tier.ts'
import type { Insertion } from '../storage-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import { DiskBodyRead } from './disk-body-read.ts'
import { largePath, readExactly } from './disk-files.ts'
import { DiskIndex, type Location } from './disk-index.ts'
import { DiskInsertion, type InsertionHost, type Written } from './disk-insertion.ts'
import { ReadFiles } from './read-files.ts'
import { SegmentWriter } from './segment-writer.ts'

export interface DiskTierOptions {
  readonly path: string
  readonly maxSizeBytes: number
  /** The tier went off (with the reason) or came back; told once per change. */
  onState(state: 'on' | 'off', reason: string): void
  /** A record was read: for eviction to know what is in use. */
  onHit?(segment: number, offset: number): void
}

/** Segments are a 256th of the tier, within these bounds: eviction takes one at a time. */
const MIN_SEGMENT_BYTES = 1024 * 1024
const MAX_SEGMENT_BYTES = 64 * 1024 * 1024
/** A body at least this long is looked for under its content hash before it is written again. */
const MIN_SHARED_BODY_BYTES = 4096
/** A body up to this long is read together with its head. */
const MAX_READ_AHEAD_BYTES = 64 * 1024
/** How long a tier in trouble is left alone. */
const RETRY_MS = 2_000
/** Offset of records that have a file of their own. */
export const OWN_FILE = 0xffffffff

export function segmentBytesFor(maxSizeBytes: number): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.max(MIN_SEGMENT_BYTES, Math.floor(maxSizeBytes / 256)))
}

/** Address space of the index: ample for the records that fit, and costs nothing until it is used. */
export function indexMapBytes(maxSizeBytes: number): number {
  return Math.min(64 * 2 ** 30, Math.max(2 ** 30, Math.floor(maxSizeBytes / 4)))
}

/** The disk tier as a worker uses it; eviction is the primary's (`evictor.ts`). */
export class DiskTier implements SharedTier, InsertionHost {
  readonly name = 'disk'
  readonly takesEverything = true
  readonly folder: string
  /** Records that were not what was stored. */
  corrupt = 0
  readonly #options: DiskTierOptions
  /** @internal */
  readonly files: ReadFiles
  #index: DiskIndex | null = null
  #writer: SegmentWriter | null = null
  #retryAt = 0
  #on = true
  #pending = new Set<Promise<void>>()

  /** Opens nothing yet: the first use does, when the worker has become who it is to be. */
  constructor(options: DiskTierOptions) {
    this.folder = options.path
    this.#options = options
    this.files = new ReadFiles(options.path)
  }

  /** Whether the tier works, as far as is known. */
  get on(): boolean {
    return this.#on
  }

  #open(): DiskIndex | null {
    if (this.#index !== null) return this.#index
    if (performance.now() < this.#retryAt) return null
    try {
      mkdirSync(join(this.folder, 'segments'), { recursive: true, mode: 0o700 })
      const index = new DiskIndex(this.folder, indexMapBytes(this.#options.maxSizeBytes))
      this.#index = index
      const segmentBytes = segmentBytesFor(this.#options.maxSizeBytes)
      this.#writer = new SegmentWriter(this.folder, segmentBytes, () => index.nextSegment())
      this.#recovered()
      return index
    } catch (error) {
      this.#trouble(error as Error)
      return null
    }
  }

  async lookUp(key: string): Promise<readonly StoredHandle[]> {
    const index = this.#open()
    if (index === null) return []
    const keyHash = hashOf(key)
    try {
      const locations = await index.find(keyHash)
      if (locations.length === 0) return []
      const handles = await Promise.all(locations.map((at) => this.#read(key, keyHash, at)))
      return handles.filter((handle) => handle !== null)
    } catch (error) {
      this.#trouble(error as Error)
      return []
    }
  }

  /** One record's head, and the body with it when it is short; null when it is not sound. */
  async #read(key: string, keyHash: Buffer, location: Location): Promise<DiskHandle | null> {
    const large = location.offset === OWN_FILE
    const inline = location.bodySegment === location.segment && !large
    const together = inline && location.bodyBytes <= MAX_READ_AHEAD_BYTES
    const headAt = large ? location.bodyBytes : location.offset
    const { headBytes } = location
    let bytes: Buffer
    try {
      bytes = await this.files.use(location.segment, large, (fd) =>
        readExactly(fd, headAt, headBytes + (together ? location.bodyBytes : 0)),
      )
    } catch (error) {
      this.#drop(keyHash, location, error as NodeJS.ErrnoException)
      return null
    }
    const head = decodeHead(bytes.subarray(0, headBytes), keyHash)
    if (head === null || head.metadata.key !== key) {
      this.#drop(keyHash, location, null)
      return null
    }
    const body = together ? bytes.subarray(headBytes) : null
    return new DiskHandle(this, keyHash, location, head.metadata, head.blockChecksums, body)
  }

  /** A record that is gone (evicted) or not sound leaves the index; the response is a miss. */
  #drop(keyHash: Buffer, location: Location, error: NodeJS.ErrnoException | null): void {
    if (error?.code !== 'ENOENT') this.corrupt++
    if (error?.code === 'EIO') this.#trouble(error)
    void this.#track(this.#index?.remove(keyHash, location))
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    const index = this.#open()
    if (index === null || this.#writer === null || this.#writer.full) return null
    if (performance.now() < this.#retryAt) return null
    if ((expectedBytes ?? 0) > this.#options.maxSizeBytes / 4) return null
    // The tier writes Content-Length into its own copy of the fields.
    const own = { ...metadata, fields: metadata.fields.clone() }
    return new DiskInsertion(this, own, hashOf(metadata.key))
  }

  nextSegment(): number {
    const index = this.#index
    if (index === null) throw new Error('the disk tier is not open')
    return index.nextSegment()
  }

  commit(metadata: StoredMetadata, keyHash: Buffer, written: Written): void {
    void this.#track(this.#commit(metadata, keyHash, written))
  }

  async #commit(metadata: StoredMetadata, keyHash: Buffer, written: Written): Promise<void> {
    const index = this.#index
    const writer = this.#writer
    if (index === null || writer === null) return
    const common = { storedAt: Math.floor(metadata.responseAt / 1000), slot: slotOf(metadata) }
    if (written.kind === 'large') {
      const { number, bodyBytes, headBytes } = written
      await index.put(keyHash, {
        ...common,
        segment: number,
        offset: OWN_FILE,
        headBytes,
        bodyBytes,
        bodySegment: number,
        bodyOffset: 0,
      })
      return
    }
    const { body } = written
    const shared = await this.#findBody(index, body)
    const head = encodeHead(
      keyHash,
      metadata,
      blockChecksums(body),
      shared === null ? body.length : 0,
    )
    const place = await writer.append(shared === null ? [head, body] : [head])
    const bodySegment = shared?.segment ?? place.segment
    const bodyOffset = shared?.offset ?? place.offset + head.length
    if (shared === null && body.length >= MIN_SHARED_BODY_BYTES) {
      await index.putBody(hashOf(body), bodySegment, bodyOffset, body.length)
    }
    await index.put(keyHash, {
      ...common,
      ...place,
      headBytes: head.length,
      bodyBytes: body.length,
      bodySegment,
      bodyOffset,
    })
  }

  /** The same bytes, stored under another URL: one copy serves both. */
  async #findBody(
    index: DiskIndex,
    body: Buffer,
  ): Promise<{ segment: number; offset: number } | null> {
    if (body.length < MIN_SHARED_BODY_BYTES) return null
    const found = index.findBody(hashOf(body))
    if (found === undefined || found.bytes !== body.length) return null
    try {
      const held = await this.files.use(found.segment, false, (fd) =>
        readExactly(fd, found.offset, found.bytes),
      )
      return held.equals(body) ? found : null
    } catch {
      // Evicted, or not sound: the bytes are written again.
      return null
    }
  }

  async freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void> {
    const index = this.#index
    const writer = this.#writer
    if (!(stored instanceof DiskHandle) || index === null || writer === null) return
    // A large file keeps its old head: it is validated again after the next restart of memory, at most.
    if (stored.location.offset === OWN_FILE) return
    const { keyHash, location, checksums } = stored
    await this.#track(
      (async () => {
        const head = encodeHead(keyHash, metadata, checksums, 0)
        const place = await writer.append([head])
        await index.put(keyHash, {
          ...location,
          ...place,
          headBytes: head.length,
          storedAt: Math.floor(metadata.responseAt / 1000),
          slot: slotOf(metadata),
        })
      })(),
    )
  }

  async remove(stored: StoredHandle): Promise<void> {
    if (!(stored instanceof DiskHandle)) return
    await this.#track(this.#index?.remove(stored.keyHash, stored.location))
    if (stored.location.offset === OWN_FILE) this.removeLarge(stored.location.segment)
  }

  async removeKey(key: string): Promise<void> {
    const index = this.#index
    if (index === null) return
    await this.#track(
      (async () => {
        for (const { segment, offset } of await index.removeKey(hashOf(key))) {
          if (offset === OWN_FILE) this.removeLarge(segment)
        }
      })(),
    )
  }

  removeLarge(number: number): void {
    // Already gone is as good; anything else the evictor meets again.
    unlink(largePath(this.folder, number), () => undefined)
  }

  /** @internal */
  readBody(handle: DiskHandle, first: number, end: number): BodyRead {
    const { location, checksums, keyHash, body } = handle
    const large = location.offset === OWN_FILE
    this.#options.onHit?.(location.segment, location.offset)
    if (body !== null && first === 0 && end >= body.length && handle.bodySound) {
      return new HeldBody(body)
    }
    const place = {
      segment: location.bodySegment,
      large,
      offset: location.bodyOffset,
      bytes: location.bodyBytes,
      checksums,
    }
    return new DiskBodyRead(this.files, place, first, end, () =>
      this.#drop(keyHash, location, null),
    )
  }

  track(work: Promise<void>): void {
    void this.#track(work)
  }

  failed(error: Error): void {
    this.#trouble(error)
  }

  /** Settles when all that was committed is on disk. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    await this.#index?.flushed()
  }

  async close(): Promise<void> {
    await this.settled()
    await this.#writer?.close()
    this.files.close()
    await this.#index?.close()
    this.#index = null
    this.#retryAt = Number.POSITIVE_INFINITY
  }

  /** Keeps count of what is under way; its failure is trouble of the tier, not of a request. */
  async #track(work: Promise<unknown> | undefined): Promise<void> {
    if (work === undefined) return
    const tracked = work.then(
      () => this.#recovered(),
      (error: Error) => this.#trouble(error),
    )
    this.#pending.add(tracked)
    await tracked
    this.#pending.delete(tracked)
  }

  #trouble(error: NodeJS.ErrnoException): void {
    this.#retryAt = performance.now() + RETRY_MS
    if (!this.#on) return
    this.#on = false
    this.#options.onState('off', error.code ?? error.message)
  }

  #recovered(): void {
    if (this.#on) return
    this.#on = true
    this.#options.onState('on', '')
  }
}

/** @internal */
class DiskHandle implements StoredHandle {
  readonly keyHash: Buffer
  readonly location: Location
  readonly metadata: StoredMetadata
  readonly checksums: readonly number[]
  /** Read along with the head; null when it was too long. */
  readonly body: Buffer | null
  readonly #tier: DiskTier

  constructor(
    tier: DiskTier,
    keyHash: Buffer,
    location: Location,
    metadata: StoredMetadata,
    checksums: readonly number[],
    body: Buffer | null,
  ) {
    this.#tier = tier
    this.keyHash = keyHash
    this.location = location
    this.metadata = metadata
    this.checksums = checksums
    this.body = body
  }

  get bodyLength(): number {
    return this.location.bodyBytes
  }

  /** Bodies read along are at most one block long. */
  get bodySound(): boolean {
    return (
      this.body !== null && blockChecksums(this.body).every((sum, i) => sum === this.checksums[i])
    )
  }

  read(first: number, end: number): BodyRead {
    return this.#tier.readBody(this, first, end)
  }
}

class HeldBody implements BodyRead {
  #body: Buffer | null

  constructor(body: Buffer) {
    this.#body = body
  }

  async next(): Promise<Buffer | null> {
    const body = this.#body
    this.#body = null
    return body === null || body.length === 0 ? null : body
  }

  close(): void {
    this.#body = null
  }
}

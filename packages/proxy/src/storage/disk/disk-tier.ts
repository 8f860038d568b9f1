import { unlink } from 'node:fs'
import { hashOf } from '../content-hash.ts'
import { blockChecksums, decodeHead, encodeHead, slotOf } from '../record.ts'
import type { BodyRead, SharedTier, StoredHandle } from '../shared-tier.ts'
import type { Insertion } from '../storage-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import { CorruptRecordError, DiskBodyRead } from './disk-body-read.ts'
import { FileEndsError, largePath, readExactly } from './disk-files.ts'
import { DiskHandle, type FoundRecord, HeldBody, isBodySound } from './disk-handle.ts'
import { DiskHealth } from './disk-health.ts'
import { type BodyLocation, type IndexChange, UnusableIndexError } from './disk-index.ts'
import { DiskInsertion, type InsertionHost, type Written } from './disk-insertion.ts'
import { setIndexAside } from './index-file.ts'
import { type Location, OWN_FILE } from './location.ts'
import { checkIndexFile, closeDisk, type OpenDisk, openDisk, probeFolder } from './open-disk.ts'
import { ReadFiles } from './read-files.ts'

export interface DiskTierOptions {
  readonly path: string
  readonly maxSizeBytes: number
  /** How often a tier in trouble is tried again. */
  readonly retryMs?: number
  /** The tier went off (with the reason) or came back; told once per change. */
  onState(state: 'on' | 'off', reason: string): void
  /** A record was read: for eviction to know what is in use. */
  onHit?(segment: number, offset: number): void
}

/** A body at least this long is looked for under its content hash before it is written again. */
const MIN_SHARED_BODY_BYTES = 4096
/** A body up to this long is read together with its head. */
const MAX_READ_AHEAD_BYTES = 64 * 1024
/** How long a tier in trouble is left alone, unless the options say otherwise. */
const RETRY_MS = 2_000
/** Commits under way; beyond it new responses are not stored. */
const MAX_PENDING = 4096

/** Removals that are kept for a tier in trouble. */
const MAX_OWED = 100_000

/** The disk tier as a worker uses it; eviction is the primary's (`evictor.ts`). */
export class DiskTier implements SharedTier, InsertionHost {
  readonly name = 'disk'
  readonly takesEverything = true
  readonly folder: string
  /** Records that were not what was stored. */
  corrupt = 0
  readonly files: ReadFiles
  readonly #options: DiskTierOptions
  readonly #health: DiskHealth
  readonly #pending = new Set<Promise<void>>()
  /** Commits under way by key hash; a removal of the key makes them void. */
  readonly #committing = new Map<string, Set<{ void: boolean }>>()
  /** Keys whose removal could not be written, by key hash: they are not found, and removed when the tier is back. */
  readonly #owed = new Map<string, Buffer>()
  #disk: OpenDisk | null = null
  #closed = false

  /** Opens nothing yet: the first use does, when the worker has become who it is to be. */
  constructor(options: DiskTierOptions) {
    this.folder = options.path
    this.#options = options
    this.files = new ReadFiles(options.path)
    this.#health = new DiskHealth({
      intervalMs: options.retryMs ?? RETRY_MS,
      onState: (state, reason) => options.onState(state, reason),
      check: async () => {
        if (this.#disk !== null) checkIndexFile(this.folder, this.#disk.index)
      },
      probe: () => this.#probe(),
    })
  }

  /** Whether the tier works, as far as is known. */
  get on(): boolean {
    return this.#health.on
  }

  #open(): OpenDisk | null {
    if (this.#disk !== null) return this.#disk
    if (!this.#health.on) return null
    try {
      this.#disk = openDisk(this.folder, this.#options.maxSizeBytes)
    } catch (error) {
      this.#trouble(error)
    }
    return this.#disk
  }

  /** Off: what is open may be of a folder that is gone. Everything is opened anew. */
  async #probe(): Promise<void> {
    if (this.#closed) return
    const disk = this.#disk
    this.#disk = null
    // Whatever still fails belongs to what is let go.
    if (disk !== null) await closeDisk(disk).catch(() => undefined)
    const opened = openDisk(this.folder, this.#options.maxSizeBytes)
    try {
      await probeFolder(this.folder)
      await opened.changes.change({ kind: 'takeNumber' })
      await this.#settleOwed(opened)
      checkIndexFile(this.folder, opened.index)
    } catch (error) {
      await closeDisk(opened).catch(() => undefined)
      if (error instanceof UnusableIndexError) setIndexAside(this.folder)
      throw error
    }
    if (this.#closed) await closeDisk(opened)
    else this.#disk = opened
  }

  async #settleOwed({ changes }: OpenDisk): Promise<void> {
    for (const [name, keyHash] of this.#owed) {
      const { left } = await changes.change({ kind: 'removeKey', keyHash })
      this.#removeFiles(left)
      this.#owed.delete(name)
    }
  }

  async lookUp(key: string): Promise<readonly StoredHandle[]> {
    const disk = this.#open()
    if (disk === null) return []
    const keyHash = hashOf(key)
    if (this.#owed.size > 0 && this.#owed.has(keyHash.toString('latin1'))) return []
    try {
      const locations = await disk.index.find(keyHash)
      if (locations.length === 0) return []
      const records = await Promise.all(locations.map((at) => this.#read(key, keyHash, at)))
      return records.filter((one) => one !== null).map((record) => new DiskHandle(this, record))
    } catch (error) {
      this.#trouble(error)
      return []
    }
  }

  /** One record's head, and the body with it when it is short; null when it is not sound. */
  async #read(key: string, keyHash: Buffer, location: Location): Promise<FoundRecord | null> {
    const { segment, offset, headBytes, bodyBytes, bodySegment } = location
    const ownFile = offset === OWN_FILE
    // In the segment of its head the body may be elsewhere: the head was freshened, or the bytes were there already.
    const adjoins =
      !ownFile && bodySegment === segment && location.bodyOffset === offset + headBytes
    const together = adjoins && bodyBytes <= MAX_READ_AHEAD_BYTES
    const headAt = ownFile ? bodyBytes : offset
    try {
      const bytes = await this.files.use(segment, ownFile, (fd) =>
        readExactly(fd, headAt, headBytes + (together ? bodyBytes : 0)),
      )
      // A head whose body was evicted is a miss now, not a body that breaks off later.
      if (bodySegment !== segment) {
        await this.files.use(bodySegment, location.bodyInFile, async () => undefined)
      }
      const head = decodeHead(bytes.subarray(0, headBytes), keyHash)
      if (head === null || head.metadata.key !== key) {
        throw new CorruptRecordError('a stored head is not what was stored')
      }
      const body = together ? bytes.subarray(headBytes) : null
      if (body !== null && !isBodySound(body, head.blockChecksums)) {
        throw new CorruptRecordError('a stored body is not what was stored')
      }
      return { keyHash, location, metadata: head.metadata, checksums: head.blockChecksums, body }
    } catch (error) {
      this.#unreadable(keyHash, location, error)
      return null
    }
  }

  /** A record that is gone (evicted) or not sound leaves the index; one that cannot be read now stays. */
  #unreadable(keyHash: Buffer, location: Location, error: unknown): void {
    if (this.#closed) return
    const { code } = error as NodeJS.ErrnoException
    const damaged =
      error instanceof CorruptRecordError || error instanceof FileEndsError || code === 'EIO'
    if (damaged) this.corrupt++
    if (!damaged || code === 'EIO') {
      // Descriptors, permissions, a disk that fails: nothing is wrong with the record as far as is known.
      if (code !== 'ENOENT') this.#trouble(error)
      if (code !== 'ENOENT' && code !== 'EIO') return
    }
    this.#change({ kind: 'remove', keyHash, location })
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    const disk = this.#open()
    if (disk === null || !this.#health.on) return null
    if (disk.segments.full || this.#pending.size > MAX_PENDING) return null
    const maxBytes = Math.floor(this.#options.maxSizeBytes / 4)
    if ((expectedBytes ?? 0) > maxBytes) return null
    // The tier writes Content-Length into its own copy of the fields.
    const own = { ...metadata, fields: metadata.fields.clone() }
    return new DiskInsertion(this, own, hashOf(metadata.key), { bytes: expectedBytes, maxBytes })
  }

  async nextNumber(): Promise<number> {
    return (await this.#opened().changes.change({ kind: 'takeNumber' })).number
  }

  #opened(): OpenDisk {
    if (this.#disk === null) throw new Error('the disk tier is not open')
    return this.#disk
  }

  commit(metadata: StoredMetadata, keyHash: Buffer, written: Promise<Written | null>): void {
    if (this.#closed) return
    const name = keyHash.toString('latin1')
    const commit = { void: false }
    const commits = this.#committing.get(name) ?? new Set()
    this.#committing.set(name, commits.add(commit))
    const work = this.#commit(metadata, keyHash, written, commit).finally(() => {
      commits.delete(commit)
      if (commits.size === 0) this.#committing.delete(name)
    })
    this.track(work)
  }

  async #commit(
    metadata: StoredMetadata,
    keyHash: Buffer,
    writing: Promise<Written | null>,
    commit: { readonly void: boolean },
  ): Promise<void> {
    const written = await writing
    if (written === null) return
    if (commit.void) {
      if (written.kind === 'large') this.removeLarge(written.number)
      return
    }
    const disk = this.#opened()
    const common = { storedAt: Math.floor(metadata.responseAt / 1000), slot: slotOf(metadata) }
    if (written.kind === 'large') {
      const { number: segment, bodyBytes, headBytes } = written
      const body = { bodyBytes, bodySegment: segment, bodyOffset: 0, bodyInFile: true }
      return this.#put(disk, keyHash, { ...common, ...body, segment, offset: OWN_FILE, headBytes })
    }
    const { body } = written
    const shared = await this.#findBody(disk, body)
    const sums = blockChecksums(body)
    const head = encodeHead(keyHash, metadata, sums, shared === null ? body.length : 0)
    const place = await disk.segments.append(shared === null ? [head, body] : [head])
    const bodySegment = shared?.segment ?? place.segment
    const bodyOffset = shared?.offset ?? place.offset + head.length
    if (shared === null && body.length >= MIN_SHARED_BODY_BYTES) {
      const bodyPlace = { segment: bodySegment, offset: bodyOffset, bytes: body.length }
      this.#change({ kind: 'putBody', contentHash: hashOf(body), place: bodyPlace })
    }
    if (commit.void) return
    await this.#put(disk, keyHash, {
      ...common,
      ...place,
      headBytes: head.length,
      bodyBytes: body.length,
      bodySegment,
      bodyOffset,
      bodyInFile: false,
    })
  }

  async #put(disk: OpenDisk, keyHash: Buffer, location: Location): Promise<void> {
    const { left } = await disk.changes.change({ kind: 'put', keyHash, location })
    this.#removeFiles(left)
  }

  /** The same bytes, stored under another URL: one copy serves both. */
  async #findBody({ index }: OpenDisk, body: Buffer): Promise<BodyLocation | null> {
    if (body.length < MIN_SHARED_BODY_BYTES) return null
    const found = await index.findBody(hashOf(body))
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

  /** A new head, the body where it is. One that was replaced or removed meanwhile is left alone. */
  async freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void> {
    if (!(stored instanceof DiskHandle) || this.#closed || !this.#health.on) return
    await this.#track(this.#freshen(stored.record, metadata))
  }

  async #freshen(record: FoundRecord, metadata: StoredMetadata): Promise<void> {
    const { changes, segments } = this.#opened()
    const { keyHash, location, checksums } = record
    const fields = metadata.fields.clone()
    if (metadata.status !== 204) fields.set('content-length', String(location.bodyBytes))
    const head = encodeHead(keyHash, { ...metadata, fields }, checksums, 0)
    const place = await segments.append([head])
    const storedAt = Math.floor(metadata.responseAt / 1000)
    const slot = slotOf(metadata)
    const after = { ...location, ...place, headBytes: head.length, storedAt, slot }
    await changes.change({ kind: 'replace', keyHash, before: location, location: after })
  }

  async remove(stored: StoredHandle): Promise<void> {
    if (!(stored instanceof DiskHandle)) return
    const { keyHash, location } = stored.record
    await this.#track(this.#forget({ kind: 'remove', keyHash, location }))
  }

  async removeKey(key: string): Promise<void> {
    if (this.#closed) return
    const keyHash = hashOf(key)
    const name = keyHash.toString('latin1')
    for (const commit of this.#committing.get(name) ?? []) commit.void = true
    if (this.#open() === null) return this.#owe(name, keyHash)
    const removal = this.#forget({ kind: 'removeKey', keyHash })
    await this.#track(
      removal.catch((error: unknown) => {
        this.#owe(name, keyHash)
        throw error
      }),
    )
  }

  #owe(name: string, keyHash: Buffer): void {
    // Beyond the bound a disk out of order for so long may give a response once more that was invalidated.
    if (!this.#closed && this.#owed.size < MAX_OWED) this.#owed.set(name, keyHash)
  }

  async #forget(change: IndexChange): Promise<void> {
    if (this.#closed) return
    const { left } = await this.#opened().changes.change(change)
    this.#removeFiles(left)
  }

  #change(change: IndexChange): void {
    this.track(this.#forget(change))
  }

  #removeFiles(locations: readonly Location[]): void {
    for (const one of locations) if (one.bodyInFile) this.removeLarge(one.bodySegment)
  }

  removeLarge(number: number): void {
    // Already gone is as good; anything else the evictor meets again.
    unlink(largePath(this.folder, number), () => undefined)
  }

  readBody(record: FoundRecord, first: number, end: number): BodyRead {
    const { location, checksums, keyHash, body } = record
    this.#options.onHit?.(location.segment, location.offset)
    if (body !== null) return new HeldBody(body.subarray(first, end))
    if (location.bodyInFile && location.offset !== OWN_FILE) {
      this.#options.onHit?.(location.bodySegment, OWN_FILE)
    }
    const place = {
      segment: location.bodySegment,
      large: location.bodyInFile,
      offset: location.bodyOffset,
      bytes: location.bodyBytes,
      checksums,
    }
    return new DiskBodyRead(this.files, place, first, end, (error) =>
      this.#unreadable(keyHash, location, error),
    )
  }

  failed(error: Error): void {
    this.#trouble(error)
  }

  track(work: Promise<unknown>): void {
    void this.#track(work)
  }

  /** Settles when all that was committed is on disk. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  async close(): Promise<void> {
    await this.settled()
    this.#closed = true
    this.#health.close()
    this.files.close()
    const disk = this.#disk
    this.#disk = null
    // What fails now is of no use to anyone any more.
    if (disk !== null) await closeDisk(disk).catch(() => undefined)
  }

  /** Keeps count of what is under way; its failure is trouble of the tier, not of a request. */
  async #track(work: Promise<unknown>): Promise<void> {
    const tracked: Promise<void> = work.then(
      () => undefined,
      (error: unknown) => this.#trouble(error),
    )
    this.#pending.add(tracked)
    await tracked
    this.#pending.delete(tracked)
  }

  #trouble(error: unknown): void {
    if (this.#closed) return
    // Node and LMDB throw nothing but errors.
    this.#health.trouble(error as Error)
  }
}

import { statSync } from 'node:fs'
import { hashOf } from '../content-hash.ts'
import type { BodyRead, SharedTier, StoredHandle } from '../shared-tier.ts'
import type { Insertion } from '../storage-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import { CorruptRecordError, DiskBodyRead } from './disk-body-read.ts'
import { FileEndsError, largePath, removeFile } from './disk-files.ts'
import { DiskHandle, type FoundRecord, HeldBody } from './disk-handle.ts'
import { DiskHealth } from './disk-health.ts'
import { type IndexChange, UnusableIndexError } from './disk-index.ts'
import {
  DiskInsertion,
  type InsertionHost,
  MAX_SMALL_BYTES,
  type Written,
} from './disk-insertion.ts'
import { GrowingFile } from './growing-file.ts'
import { indexPath, setIndexAside } from './index-file.ts'
import { type Location, OWN_FILE } from './location.ts'
import {
  awaitAnswer,
  checkIndexFile,
  closeDisk,
  type OpenDisk,
  openDisk,
  probeFolder,
} from './open-disk.ts'
import { ReadFiles } from './read-files.ts'
import { readRecord } from './read-record.ts'
import { tagHashesOf } from './tag-hash.ts'
import { DiskTimeoutError, withinDeadline } from './within-deadline.ts'
import { writeHead, writeRecord } from './write-record.ts'

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

/** How long a tier in trouble is left alone, unless the options say otherwise. */
const RETRY_MS = 2_000
/** For the index and the heads: an origin is asked instead of a disk that is slower. */
const LOOK_UP_DEADLINE_MS = 250
/** Commits under way; beyond it new responses are not stored. */
const MAX_PENDING = 4096

/** Keys looked for between two turns of the event loop. */
const HELD_KEYS_AT_ONCE = 256

/** Numbers of files that nobody uses yet. */
const MAX_SPARE_NUMBERS = 32

/** Removals that are kept for a tier in trouble. */
const MAX_OWED = 100_000

/** The disk tier as a worker uses it; eviction is the primary's (`evictor.ts`). */
export class DiskTier implements SharedTier, InsertionHost {
  readonly name = 'disk'
  readonly takesEverything = true
  readonly folder: string
  /** Records that were not what was stored. */
  corrupt = 0
  /** Look-ups and reads that were given up because the disk took too long. */
  timeouts = 0
  readonly files: ReadFiles
  readonly #options: DiskTierOptions
  readonly #health: DiskHealth
  readonly #pending = new Set<Promise<void>>()
  /** Commits under way by key hash; a removal of the key makes them void. */
  readonly #committing = new Map<string, Set<{ void: boolean }>>()
  /** Keys whose removal could not be written, by key hash: they are not found, and removed when the tier is back. */
  readonly #owed = new Map<string, Buffer>()
  #disk: OpenDisk | null = null
  /** Taken beforehand, so that others can be told of a file before it is there. */
  #spareNumbers: number[] = []
  /** Between what was open and what will be. */
  #reopening: Promise<void> | null = null
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
        if (this.#disk !== null) await checkIndexFile(this.folder, this.#disk.index)
      },
      probe: () => this.#probe(),
    })
  }

  /** Opens what the first request would have to wait for. Settles, whatever comes of it. */
  async open(): Promise<void> {
    const opened = this.#inTime(async () => {
      if ((await this.#openOff()) === null) return
      for (let i = 0; i < MAX_SPARE_NUMBERS / 2; i++) await this.#spareOne()
    })
    await opened
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

  /** Off: what is open is read until the folder takes a file again. Then it may be of one that is gone. */
  async #probe(): Promise<void> {
    // First: what is opened on the event loop must not hang.
    await probeFolder(this.folder)
    if (this.#closed) return
    this.#reopening = this.#reopen()
    try {
      await this.#reopening
    } finally {
      this.#reopening = null
    }
  }

  async #reopen(): Promise<void> {
    const disk = this.#disk
    this.#disk = null
    // A new index may give them out again.
    this.#spareNumbers = []
    // Whatever still fails belongs to what is let go.
    if (disk !== null) await closeDisk(disk).catch(() => undefined)
    const opened = openDisk(this.folder, this.#options.maxSizeBytes)
    try {
      await opened.changes.change({ kind: 'takeNumber' })
      await this.#settleOwed(opened)
      await checkIndexFile(this.folder, opened.index)
    } catch (error) {
      await closeDisk(opened).catch(() => undefined)
      // The folder has just taken a file: when the first transaction cannot be made, the index is why.
      const isDamaged = error instanceof UnusableIndexError || /MDB_BAD_TXN/.test(String(error))
      if (isDamaged) setIndexAside(this.folder)
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
    if (!this.#health.mayRead) return []
    const keyHash = hashOf(key)
    if (this.#owed.size > 0 && this.#owed.has(keyHash.toString('latin1'))) return []
    return (await this.#inTime(() => this.#find(key, keyHash))) ?? []
  }

  async #find(key: string, keyHash: Buffer): Promise<readonly StoredHandle[]> {
    const disk = await this.#openOff()
    if (disk === null) return []
    const locations = await disk.index.find(keyHash)
    if (locations.length === 0) return []
    const records = await Promise.all(locations.map((at) => this.#read(key, keyHash, at)))
    return records.filter((one) => one !== null).map((record) => new DiskHandle(this, record))
  }

  async holdsAll(keys: readonly string[]): Promise<boolean> {
    if (!this.#health.mayRead) return false
    return (await this.#inTime(() => this.#findAll(keys))) ?? false
  }

  async #findAll(keys: readonly string[]): Promise<boolean> {
    const disk = await this.#openOff()
    if (disk === null) return false
    for (let at = 0; at < keys.length; at += HELD_KEYS_AT_ONCE) {
      const hashes = keys.slice(at, at + HELD_KEYS_AT_ONCE).map(hashOf)
      if (hashes.some((keyHash) => this.#owed.has(keyHash.toString('latin1')))) return false
      if (!(await disk.index.hasAll(hashes))) return false
    }
    return true
  }

  /** undefined when the disk is in trouble, or takes too long: then the request goes on without it. */
  async #inTime<T>(question: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await withinDeadline(question(), LOOK_UP_DEADLINE_MS)
      this.#health.answered()
      return answer
    } catch (error) {
      this.#trouble(error)
      return undefined
    }
  }

  /** Opened on the event loop, but only after the disk has answered off it. */
  async #openOff(): Promise<OpenDisk | null> {
    if (this.#disk === null && this.#health.on) await awaitAnswer(this.folder)
    // Whether it can be opened again is the probe's matter.
    await this.#reopening?.catch(() => undefined)
    return this.#open()
  }

  async #read(key: string, keyHash: Buffer, location: Location): Promise<FoundRecord | null> {
    try {
      return await readRecord(this.files, key, keyHash, location)
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
    // One that does not answer would hold up the event loop while it is opened.
    if (!this.#health.on || (this.#disk === null && !this.#health.answers)) return null
    const disk = this.#open()
    if (disk === null) return null
    if (disk.segments.full || this.#pending.size > MAX_PENDING) return null
    const maxBytes = Math.floor(this.#options.maxSizeBytes / 4)
    if ((expectedBytes ?? 0) > maxBytes) return null
    // The tier writes Content-Length into its own copy of the fields.
    const own = { ...metadata, fields: metadata.fields.clone() }
    const mayBeLarge = expectedBytes === undefined || expectedBytes > MAX_SMALL_BYTES
    const file = mayBeLarge ? this.#takeSpareNumber() : undefined
    return new DiskInsertion(this, own, hashOf(metadata.key), {
      bytes: expectedBytes,
      maxBytes,
      file,
    })
  }

  /** What another worker is storing in a file of its own, for those who read along here. */
  follow(file: number): Insertion | null {
    return this.#health.on ? new GrowingFile(this.files, file) : null
  }

  #takeSpareNumber(): number | undefined {
    const number = this.#spareNumbers.pop()
    if (this.#spareNumbers.length < MAX_SPARE_NUMBERS / 2) this.track(this.#spareOne())
    return number
  }

  giveBackNumber(number: number): void {
    if (this.#spareNumbers.length < MAX_SPARE_NUMBERS) this.#spareNumbers.push(number)
  }

  async #spareOne(): Promise<void> {
    if (this.#spareNumbers.length < MAX_SPARE_NUMBERS) {
      this.#spareNumbers.push(await this.nextNumber())
    }
  }

  async nextNumber(): Promise<number> {
    return (await this.#opened().changes.change({ kind: 'takeNumber' })).number
  }

  #opened(): OpenDisk {
    if (this.#disk === null) throw new Error('the disk tier is not open')
    return this.#disk
  }

  async commit(
    metadata: StoredMetadata,
    keyHash: Buffer,
    written: Promise<Written | null>,
  ): Promise<void> {
    if (this.#closed) return
    const name = keyHash.toString('latin1')
    const commit = { void: false }
    const commits = this.#committing.get(name) ?? new Set()
    this.#committing.set(name, commits.add(commit))
    const work = this.#commit(metadata, keyHash, written, commit).finally(() => {
      commits.delete(commit)
      if (commits.size === 0) this.#committing.delete(name)
    })
    await this.#track(work)
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
    const { location, body } = await writeRecord(disk, this.files, metadata, keyHash, written)
    if (body !== null) this.#change(body)
    if (commit.void) return
    const { left } = await disk.changes.change({
      kind: 'put',
      keyHash,
      location,
      tags: tagHashesOf(metadata),
    })
    this.#removeFiles(left)
  }

  /** A new head, the body where it is. One that was replaced or removed meanwhile is left alone. */
  async freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void> {
    if (!(stored instanceof DiskHandle) || this.#closed || !this.#health.on) return
    await this.#track(this.#freshen(stored.record, metadata))
  }

  async #freshen(record: FoundRecord, metadata: StoredMetadata): Promise<void> {
    const disk = this.#opened()
    const { keyHash, location: before } = record
    const location = await writeHead(disk, record, metadata)
    await disk.changes.change({
      kind: 'replace',
      keyHash,
      before,
      location,
      tags: tagHashesOf(metadata),
    })
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
    removeFile(largePath(this.folder, number))
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
    if (error instanceof DiskTimeoutError) {
      this.timeouts++
      this.#health.timedOut(error)
      return
    }
    if (error instanceof UnusableIndexError) this.#setAside()
    // Node and LMDB throw nothing but errors.
    this.#health.trouble(error as Error)
  }

  /** Nobody can do anything with it any more; unless another process was quicker, and this is its successor. */
  #setAside(): void {
    const held = statSync(indexPath(this.folder), { throwIfNoEntry: false })
    if (held !== undefined && held.ino === this.#disk?.index.inode) setIndexAside(this.folder)
  }
}

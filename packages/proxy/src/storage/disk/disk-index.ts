import { mkdirSync, statSync } from 'node:fs'
import { type Database, open, type RootDatabase } from 'lmdb'
import { diskCalls } from './disk-calls.ts'
import { highestFileNumber, indexFolder, indexPath, isIndexSound } from './index-file.ts'
import { decodeEntries, encodeEntries, isSamePlace, type Location } from './location.ts'
import { type Place, type TaggedRecord, TagIndex } from './tag-index.ts'

/** Variants and parts of one key beyond this many push the oldest out. */
const MAX_ENTRIES = 64

/** One change of the index. Buffers are key hashes and content hashes, 16 bytes; `tags` as `tagHashesOf` gives them. */
export type IndexChange =
  /** In front of the key's others, in place of the one with the same slot. */
  | {
      readonly kind: 'put'
      readonly keyHash: Buffer
      readonly location: Location
      readonly tags?: Buffer
    }
  /** Only if `before` still is what the key has: a newer response is not undone. */
  | {
      readonly kind: 'replace'
      readonly keyHash: Buffer
      readonly before: Location
      readonly location: Location
      readonly tags?: Buffer
    }
  | { readonly kind: 'remove'; readonly keyHash: Buffer; readonly location: Location }
  | { readonly kind: 'removeKey'; readonly keyHash: Buffer }
  | { readonly kind: 'putBody'; readonly contentHash: Buffer; readonly place: BodyLocation }
  /** Only if it still is in that segment. */
  | { readonly kind: 'removeBody'; readonly contentHash: Buffer; readonly segment: number }
  /** The record at this place is gone, or about to be. */
  | { readonly kind: 'untag'; readonly tags: Buffer; readonly place: Place }
  | { readonly kind: 'takeNumber' }

/** What a change did: locations that left the index, or a number. */
export interface IndexResult {
  readonly left: readonly Location[]
  /** Of `takeNumber`; of the others 1 when something was changed. */
  readonly number: number
}

export interface BodyLocation {
  readonly segment: number
  readonly offset: number
  readonly bytes: number
}

export class UnusableIndexError extends Error {}

/**
 * Key hash → locations, in LMDB: memory-mapped, read by every worker, written by one at a time, safe against a crash at
 * any moment. Changes are made in synchronous transactions only: LMDB's asynchronous ones answer a full disk with
 * rejections that nobody can catch. Workers make them in a thread (`index-writer.ts`).
 */
export class DiskIndex {
  /** Of the file: another one at the same path means that this one was removed. */
  readonly inode: number
  readonly #root: RootDatabase
  readonly #responses: Database<Buffer, Buffer>
  readonly #bodies: Database<Buffer, Buffer>
  readonly #counters: Database<number, string>
  readonly #tags: TagIndex
  readonly #folder: string

  /** Throws when the index cannot be opened; `UnusableIndexError` when it never can. */
  constructor(folder: string, mapBytes: number) {
    this.#folder = folder
    mkdirSync(indexFolder(folder), { recursive: true, mode: 0o700 })
    if (!isIndexSound(indexPath(folder))) {
      throw new UnusableIndexError('the index of the disk tier is damaged')
    }
    try {
      this.#root = open({ path: indexFolder(folder), mapSize: mapBytes, maxDbs: 8 })
      const binary = { encoding: 'binary', keyEncoding: 'binary' } as const
      this.#responses = this.#root.openDB({ name: 'responses', ...binary })
      this.#bodies = this.#root.openDB({ name: 'bodies', ...binary })
      this.#counters = this.#root.openDB({ name: 'counters' })
      this.#tags = new TagIndex(this.#root)
    } catch (error) {
      throw asUnusable(error)
    }
    this.inode = statSync(indexPath(folder)).ino
  }

  /** Newest first. Pages that are not in memory are fetched off the event loop. */
  async find(keyHash: Buffer): Promise<Location[]> {
    await diskCalls.run(() => this.#responses.prefetch([keyHash]))
    return this.findNow(keyHash)
  }

  /** Whether each has an entry. */
  async hasAll(keyHashes: Buffer[]): Promise<boolean> {
    await diskCalls.run(() => this.#responses.prefetch(keyHashes))
    this.#root.resetReadTxn()
    return guarded(() => keyHashes.every((keyHash) => this.#responses.doesExist(keyHash)))
  }

  findNow(keyHash: Buffer): Location[] {
    // A snapshot of before would hide what another thread or process has committed since.
    this.#root.resetReadTxn()
    const entries = guarded(() => this.#responses.get(keyHash))
    return entries === undefined ? [] : decodeEntries(entries)
  }

  /** Where bytes with this hash are already. */
  async findBody(contentHash: Buffer): Promise<BodyLocation | undefined> {
    await diskCalls.run(() => this.#bodies.prefetch([contentHash]))
    this.#root.resetReadTxn()
    const entry = guarded(() => this.#bodies.get(contentHash))
    return entry === undefined ? undefined : decodeBody(entry)
  }

  /** Makes all changes or, when it throws, none. */
  apply(changes: readonly IndexChange[]): IndexResult[] {
    return guarded(() => this.#root.transactionSync(() => changes.map((one) => this.#make(one))))
  }

  #make(change: IndexChange): IndexResult {
    switch (change.kind) {
      case 'put':
        return this.#put(change)
      case 'replace':
        return this.#replace(change)
      case 'remove':
        return this.#remove(change.keyHash, change.location)
      case 'removeKey': {
        const before = this.#entries(change.keyHash)
        if (before.length > 0) this.#responses.removeSync(change.keyHash)
        return changed(before)
      }
      case 'putBody':
        this.#bodies.putSync(change.contentHash, encodeBody(change.place))
        return changed([])
      case 'removeBody': {
        const held = this.#bodies.get(change.contentHash)
        const isHere = held !== undefined && decodeBody(held).segment === change.segment
        if (isHere) this.#bodies.removeSync(change.contentHash)
        return isHere ? changed([]) : UNCHANGED
      }
      case 'untag':
        this.#tags.remove(change.tags, change.place)
        return changed([])
      case 'takeNumber':
        return { left: [], number: this.#takeNumber() }
    }
  }

  #entries(keyHash: Buffer): Location[] {
    const held = this.#responses.get(keyHash)
    return held === undefined ? [] : decodeEntries(held)
  }

  #put({ keyHash, location, tags }: IndexChange & { kind: 'put' }): IndexResult {
    const before = this.#entries(keyHash)
    const others = before.filter(({ slot }) => slot !== location.slot)
    const kept = others.slice(0, MAX_ENTRIES - 1)
    this.#responses.putSync(keyHash, encodeEntries([location, ...kept]))
    if (tags !== undefined) this.#tags.put(tags, location, keyHash)
    return changed(before.filter((one) => !kept.includes(one)))
  }

  #replace({ keyHash, before, location, tags }: IndexChange & { kind: 'replace' }): IndexResult {
    const entries = this.#entries(keyHash)
    const at = entries.findIndex((one) => isSamePlace(one, before))
    if (at === -1) return UNCHANGED
    const others = entries.filter((one, i) => i !== at && one.slot !== location.slot)
    this.#responses.putSync(keyHash, encodeEntries([location, ...others]))
    if (tags !== undefined) this.#tags.put(tags, location, keyHash)
    return changed([])
  }

  #remove(keyHash: Buffer, location: Location): IndexResult {
    const entries = this.#entries(keyHash)
    const others = entries.filter((one) => !isSamePlace(one, location))
    if (others.length === entries.length) return UNCHANGED
    if (others.length === 0) this.#responses.removeSync(keyHash)
    else this.#responses.putSync(keyHash, encodeEntries(others))
    return changed(entries.filter((one) => !others.includes(one)))
  }

  /** Numbers of segments and files are never used twice, so that no reader takes one for another. */
  #takeNumber(): number {
    const number = (this.#counters.get('segment') ?? highestFileNumber(this.#folder)) + 1
    this.#counters.putSync('segment', number)
    return number
  }

  /** Up to `limit` keys behind `after`, with what they have: for a sweep in small steps. */
  scan(after: Buffer | undefined, limit: number): { keyHash: Buffer; locations: Location[] }[] {
    this.#root.resetReadTxn()
    const range = this.#responses.getRange({ start: after, limit })
    return [...range].map(({ key, value }) => ({
      keyHash: Buffer.from(key),
      locations: decodeEntries(value),
    }))
  }

  /** Up to `limit` records with this tag behind `after`, and where each key that still leads to its record has it. */
  tagged(
    tag: Buffer,
    after: Buffer | undefined,
    limit: number,
  ): { record: TaggedRecord; location: Location | undefined }[] {
    this.#root.resetReadTxn()
    return guarded(() =>
      this.#tags.records(tag, after, limit).map((record) => ({
        record,
        location: this.#entries(record.keyHash).find((one) => isSamePlace(one, record)),
      })),
    )
  }

  /** Up to `limit` entries of tags behind `after`. */
  scanTags(after: Buffer | undefined, limit: number): TaggedRecord[] {
    this.#root.resetReadTxn()
    return guarded(() => this.#tags.scan(after, limit))
  }

  async close(): Promise<void> {
    await this.#root.close()
  }
}

const UNCHANGED: IndexResult = { left: [], number: 0 }

function changed(left: readonly Location[]): IndexResult {
  return { left, number: 1 }
}

/**
 * LMDB's words for a file that is damaged: page not found, corrupted, panic, version, invalid; and what cannot be in one
 * that is not: cursor full, page full, incompatible, problem.
 */
const DAMAGED = new Set<unknown>([
  -30797, -30796, -30795, -30794, -30793, -30787, -30786, -30784, -30779,
])

function guarded<T>(use: () => T): T {
  try {
    return use()
  } catch (error) {
    throw asUnusable(error)
  }
}

function asUnusable(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error))
  if (!('code' in error) || !DAMAGED.has(error.code)) return error
  return new UnusableIndexError('the index of the disk tier is damaged', { cause: error })
}

function encodeBody({ segment, offset, bytes }: BodyLocation): Buffer {
  const entry = Buffer.alloc(12)
  entry.writeUInt32BE(segment, 0)
  entry.writeUInt32BE(offset, 4)
  entry.writeUInt32BE(bytes, 8)
  return entry
}

function decodeBody(entry: Buffer): BodyLocation {
  return {
    segment: entry.readUInt32BE(0),
    offset: entry.readUInt32BE(4),
    bytes: entry.readUInt32BE(8),
  }
}

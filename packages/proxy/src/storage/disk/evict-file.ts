import { chown, link, mkdir, stat as statOf, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hashOf } from '../content-hash.ts'
import { largePath } from './disk-files.ts'
import type { DiskIndex, IndexChange } from './disk-index.ts'
import { type Location, OWN_FILE } from './location.ts'
import {
  headOfLarge,
  isRecordSound,
  recordsOf,
  type SegmentRecord,
  tagsOf,
} from './segment-records.ts'
import type { SegmentWriter } from './segment-writer.ts'
import { ignoreMissing, type StoredFile } from './stored-files.ts'

/** What evicting takes. */
export interface EvictionTools {
  readonly folder: string
  readonly index: DiskIndex
  readonly segments: SegmentWriter
}

export interface Evicted {
  /** Bytes that were written again because they are in use. */
  readonly keptBytes: number
  readonly keptRecords: number
}

/** Changes of the index in one transaction: other processes wait for it. */
const MAX_CHANGES = 256
/** A large file without its head that nobody has written to for this long is left over from a crash. */
const LEFT_OVER_MS = 60_000

const NOTHING_KEPT: Evicted = { keptBytes: 0, keptRecords: 0 }

/** Every record of a segment: those in use move on, `maxKeptBytes` of them, the others leave the index. */
export async function emptySegment(
  tools: EvictionTools,
  file: StoredFile,
  hot: ReadonlySet<number>,
  maxKeptBytes: number,
): Promise<Evicted> {
  let keptBytes = 0
  let keptRecords = 0
  let changes: IndexChange[] = []
  const apply = async (): Promise<void> => {
    const results = tools.index.apply(changes)
    changes = []
    for (const { left } of results) await removeFiles(tools.folder, left)
  }
  // Eviction's own segment may be the oldest by now: what is kept must not go into what is removed.
  await tools.segments.leaveSegment(file.number)
  for await (const record of recordsOf(file.path)) {
    const { offset, keyHash, bytes } = record
    const isHere = (one: Location) => one.segment === file.number && one.offset === offset
    const location = (await tools.index.find(keyHash)).find(isHere)
    const fits = keptBytes + bytes.length <= maxKeptBytes
    const tags = tagsOf(bytes.subarray(0, record.headBytes))
    if (tags !== undefined) {
      changes.push({ kind: 'untag', tags, place: { segment: file.number, offset } })
    }
    const keep = location !== undefined && hot.has(offset) && fits && isRecordSound(record)
    if (keep) {
      changes.push(...(await moveOn(tools.segments, record, location, tags)))
      keptBytes += bytes.length
      keptRecords++
    } else {
      if (location !== undefined) changes.push({ kind: 'remove', keyHash, location })
      changes.push(...forgetBody(record, file.number))
    }
    if (changes.length >= MAX_CHANGES) await apply()
  }
  await apply()
  return { keptBytes, keptRecords }
}

/** Written again behind the newest; the entry follows unless there is a newer response by then. */
async function moveOn(
  segments: SegmentWriter,
  { keyHash, headBytes, bytes }: SegmentRecord,
  before: Location,
  tags: Buffer | undefined,
): Promise<IndexChange[]> {
  const place = await segments.append([bytes])
  if (bytes.length === headBytes) {
    return [{ kind: 'replace', keyHash, before, location: { ...before, ...place }, tags }]
  }
  const bodyPlace = { bodySegment: place.segment, bodyOffset: place.offset + headBytes }
  const body = bytes.subarray(headBytes)
  const { segment } = place
  const bodyLocation = { segment, offset: bodyPlace.bodyOffset, bytes: body.length }
  return [
    { kind: 'replace', keyHash, before, location: { ...before, ...place, ...bodyPlace }, tags },
    { kind: 'putBody', contentHash: hashOf(body), place: bodyLocation },
  ]
}

function forgetBody({ bytes, headBytes }: SegmentRecord, segment: number): IndexChange[] {
  if (bytes.length === headBytes) return []
  return [{ kind: 'removeBody', contentHash: hashOf(bytes.subarray(headBytes)), segment }]
}

/** A large file in use gets a new number, which costs no copying; null when it must not be touched yet. */
export async function emptyLarge(
  tools: EvictionTools,
  file: StoredFile,
  isHot: boolean,
): Promise<Evicted | null> {
  const stats = await statOf(file.path).catch(ignoreMissing)
  // A worker has removed it since it was listed.
  if (stats === undefined) return NOTHING_KEPT
  const { size, mtimeMs } = stats
  const head = await headOfLarge(file.path, size)
  if (head === null) return Date.now() - mtimeMs < LEFT_OVER_MS ? null : NOTHING_KEPT
  const { keyHash, tags } = head
  const held = await tools.index.find(keyHash)
  const location = held.find((one) => one.bodyInFile && one.bodySegment === file.number)
  const changes: IndexChange[] = []
  if (tags !== undefined) {
    changes.push({ kind: 'untag', tags, place: { segment: file.number, offset: OWN_FILE } })
  }
  if (location === undefined || !isHot) {
    if (location !== undefined) changes.push({ kind: 'remove', keyHash, location })
    if (changes.length > 0) tools.index.apply(changes)
    return NOTHING_KEPT
  }
  const moved = await renumber(tools, file, location)
  // A head that was written anew has its entries where it is.
  const movedTags = location.offset === OWN_FILE ? tags : undefined
  tools.index.apply([
    ...changes,
    { kind: 'replace', keyHash, before: location, location: moved, tags: movedTags },
  ])
  return { keptBytes: file.bytes, keptRecords: 1 }
}

async function renumber(
  { folder, index }: EvictionTools,
  file: StoredFile,
  before: Location,
): Promise<Location> {
  const [{ number }] = index.apply([{ kind: 'takeNumber' }])
  const path = largePath(folder, number)
  const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  if (made !== undefined) {
    // Whoever writes such files must be able to go on doing so.
    const { uid, gid } = await statOf(file.path)
    await chown(dirname(path), uid, gid)
  }
  // Two names while the entry changes: whoever looks it up finds one of them.
  await link(file.path, path)
  const segment = before.offset === OWN_FILE ? number : before.segment
  return { ...before, segment, bodySegment: number }
}

export async function removeFiles(folder: string, locations: readonly Location[]): Promise<void> {
  for (const { bodyInFile, bodySegment } of locations) {
    if (bodyInFile) await unlink(largePath(folder, bodySegment)).catch(ignoreMissing)
  }
}

import { hashOf } from '../content-hash.ts'
import { blockChecksums, encodeHead, slotOf } from '../record.ts'
import { contentLengthOf, type StoredMetadata } from '../stored-response.ts'
import { readExactly } from './disk-files.ts'
import type { FoundRecord } from './disk-handle.ts'
import type { BodyLocation, DiskIndex, IndexChange } from './disk-index.ts'
import type { Written } from './disk-insertion.ts'
import { type Location, OWN_FILE } from './location.ts'
import type { OpenDisk } from './open-disk.ts'
import type { ReadFiles } from './read-files.ts'

/** A body at least this long is looked for under its content hash before it is written again. */
const MIN_SHARED_BODY_BYTES = 4096

/** Where a response is now, and what the index has to learn besides. */
export interface WrittenRecord {
  readonly location: Location
  readonly body: IndexChange | null
}

/** Writes what of a response is not on disk yet: of a large one nothing. */
export async function writeRecord(
  { index, segments }: OpenDisk,
  files: ReadFiles,
  metadata: StoredMetadata,
  keyHash: Buffer,
  written: Written,
): Promise<WrittenRecord> {
  const common = { storedAt: Math.floor(metadata.responseAt / 1000), slot: slotOf(metadata) }
  if (written.kind === 'large') {
    const { number: segment, bodyBytes, headBytes } = written
    const body = { bodyBytes, bodySegment: segment, bodyOffset: 0, bodyInFile: true }
    return { location: { ...common, ...body, segment, offset: OWN_FILE, headBytes }, body: null }
  }
  const { body } = written
  const contentHash = body.length < MIN_SHARED_BODY_BYTES ? null : hashOf(body)
  const shared = contentHash === null ? null : await findBody(index, files, contentHash, body)
  const inlineBytes = shared === null ? body.length : 0
  const head = encodeHead(keyHash, metadata, blockChecksums(body), inlineBytes)
  const place = await segments.append(shared === null ? [head, body] : [head])
  const bodyPlace = shared ?? {
    segment: place.segment,
    offset: place.offset + head.length,
    bytes: body.length,
  }
  const isNew = contentHash !== null && shared === null
  return {
    location: {
      ...common,
      ...place,
      headBytes: head.length,
      bodyBytes: body.length,
      bodySegment: bodyPlace.segment,
      bodyOffset: bodyPlace.offset,
      bodyInFile: false,
    },
    body: isNew ? { kind: 'putBody', contentHash, place: bodyPlace } : null,
  }
}

/** The same bytes, stored under another URL: one copy serves both. */
async function findBody(
  index: DiskIndex,
  files: ReadFiles,
  contentHash: Buffer,
  body: Buffer,
): Promise<BodyLocation | null> {
  const found = await index.findBody(contentHash)
  if (found === undefined || found.bytes !== body.length) return null
  try {
    const held = await files.use(found.segment, false, (fd) =>
      readExactly(fd, found.offset, found.bytes),
    )
    return held.equals(body) ? found : null
  } catch {
    // Evicted, or not sound: the bytes are written again.
    return null
  }
}

/** A new head; the body stays where it is. */
export async function writeHead(
  { segments }: OpenDisk,
  { keyHash, location, checksums }: FoundRecord,
  metadata: StoredMetadata,
): Promise<Location> {
  const fields = metadata.fields.clone()
  if (metadata.status !== 204)
    fields.set('content-length', contentLengthOf(metadata, location.bodyBytes))
  const head = encodeHead(keyHash, { ...metadata, fields }, checksums, 0)
  const place = await segments.append([head])
  const storedAt = Math.floor(metadata.responseAt / 1000)
  return { ...location, ...place, headBytes: head.length, storedAt, slot: slotOf(metadata) }
}

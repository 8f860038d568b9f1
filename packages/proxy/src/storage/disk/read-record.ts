import { decodeHead } from '../record.ts'
import { CorruptRecordError } from './disk-body-read.ts'
import { readExactly } from './disk-files.ts'
import { type FoundRecord, isBodySound } from './disk-handle.ts'
import { type Location, OWN_FILE } from './location.ts'
import type { ReadFiles } from './read-files.ts'

/** A body up to this long is read together with its head. */
const MAX_READ_AHEAD_BYTES = 64 * 1024

/** One record's head, verified, and the body with it when it is short. Rejects when they cannot be had. */
export async function readRecord(
  files: ReadFiles,
  key: string,
  keyHash: Buffer,
  location: Location,
): Promise<FoundRecord> {
  const { segment, offset, headBytes, bodyBytes, bodySegment } = location
  const ownFile = offset === OWN_FILE
  // In the segment of its head the body may be elsewhere: the head was freshened, or the bytes were there already.
  const adjoins = !ownFile && bodySegment === segment && location.bodyOffset === offset + headBytes
  const together = adjoins && bodyBytes <= MAX_READ_AHEAD_BYTES
  const headAt = ownFile ? bodyBytes : offset
  const bytes = await files.use(segment, ownFile, (fd) =>
    readExactly(fd, headAt, headBytes + (together ? bodyBytes : 0)),
  )
  // A head whose body was evicted is a miss now, not a body that breaks off later.
  if (bodySegment !== segment) {
    await files.use(bodySegment, location.bodyInFile, async () => undefined)
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
}

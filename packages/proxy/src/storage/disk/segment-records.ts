import { decodeHead, HEAD_BYTES, headLength, inlineBodyBytes, keyHashOf } from '../record.ts'
import { closeFile, FileEndsError, openFile, readExactly } from './disk-files.ts'
import { isBodySound } from './disk-handle.ts'
import { tagHashesOf } from './tag-hash.ts'

/** One record of a segment, as it was found. */
export interface SegmentRecord {
  readonly offset: number
  readonly keyHash: Buffer
  readonly headBytes: number
  /** Head and body. */
  readonly bytes: Buffer
}

/** Bytes at the end of a large file: the length of its head, u32. */
const FOOTER_BYTES = 4

/** The records of a segment in order, as far as they can be told apart: a torn tail ends them. */
export async function* recordsOf(path: string): AsyncGenerator<SegmentRecord> {
  const fd = await openFile(path, 'r')
  try {
    for (let offset = 0; ; ) {
      const start = await readExactly(fd, offset, HEAD_BYTES)
      const headBytes = headLength(start)
      if (headBytes === undefined) return
      const bytes = await readExactly(fd, offset, headBytes + inlineBodyBytes(start))
      yield { offset, keyHash: Buffer.from(keyHashOf(start)), headBytes, bytes }
      offset += bytes.length
    }
  } catch (error) {
    if (!(error instanceof FileEndsError)) throw error
  } finally {
    closeFile(fd)
  }
}

/** Whether head and body are what was written. */
export function isRecordSound({ bytes, headBytes, keyHash }: SegmentRecord): boolean {
  const head = decodeHead(bytes.subarray(0, headBytes), keyHash)
  if (head === null) return false
  const body = bytes.subarray(headBytes)
  return body.length === 0 || isBodySound(body, head.blockChecksums)
}

/** Head of a large file, at its end; null when it has none: cut, or still being written. */
export async function headOfLarge(
  path: string,
  size: number,
): Promise<{ readonly keyHash: Buffer; readonly tags: Buffer | undefined } | null> {
  if (size < HEAD_BYTES + FOOTER_BYTES) return null
  const fd = await openFile(path, 'r')
  try {
    const footer = await readExactly(fd, size - FOOTER_BYTES, FOOTER_BYTES)
    const headBytes = footer.readUInt32BE(0)
    const headAt = size - FOOTER_BYTES - headBytes
    if (headAt < 0 || headBytes < HEAD_BYTES) return null
    const bytes = await readExactly(fd, headAt, headBytes)
    if (headLength(bytes) !== headBytes) return null
    return { keyHash: Buffer.from(keyHashOf(bytes)), tags: tagsOf(bytes) }
  } catch (error) {
    if (error instanceof FileEndsError) return null
    throw error
  } finally {
    closeFile(fd)
  }
}

/** `tagHashesOf` what the head describes. Of one that is not sound nobody knows: the sweep finds its entries. */
export function tagsOf(head: Buffer): Buffer | undefined {
  const decoded = decodeHead(head, keyHashOf(head))
  return decoded === null ? undefined : tagHashesOf(decoded.metadata)
}

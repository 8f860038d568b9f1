import { decodeHead, HEAD_BYTES, headLength, inlineBodyBytes, keyHashOf } from '../record.ts'
import { closeFile, FileEndsError, openFile, readExactly } from './disk-files.ts'
import { isBodySound } from './disk-handle.ts'

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

/** Whose the large file is; null when it has no head: cut, or still being written. */
export async function keyHashOfLarge(path: string, size: number): Promise<Buffer | null> {
  if (size < HEAD_BYTES + FOOTER_BYTES) return null
  const fd = await openFile(path, 'r')
  try {
    const footer = await readExactly(fd, size - FOOTER_BYTES, FOOTER_BYTES)
    const headBytes = footer.readUInt32BE(0)
    const headAt = size - FOOTER_BYTES - headBytes
    if (headAt < 0 || headBytes < HEAD_BYTES) return null
    const start = await readExactly(fd, headAt, HEAD_BYTES)
    return headLength(start) === headBytes ? Buffer.from(keyHashOf(start)) : null
  } catch (error) {
    if (error instanceof FileEndsError) return null
    throw error
  } finally {
    closeFile(fd)
  }
}

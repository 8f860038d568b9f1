import { crc32 } from 'node:zlib'
import {
  BLOCK_BYTES,
  blockChecksums,
  decodeHead,
  encodeHead,
  HEAD_BYTES,
  headLength,
  inlineBodyBytes,
} from '../record.ts'
import type { StoredMetadata } from '../stored-response.ts'

/** A body up to this long travels with its head: one round trip. */
export const MAX_INLINE_BYTES = 16 * 1024

/** Before the record: when the response came (u64, ms), which tells the newer of two values to the script that stores. */
const STAMP_BYTES = 8

/** After it: when the value was made (u64, µs), for those whose responses came in one millisecond. */
const MADE_BYTES = 8
const PREAMBLE_BYTES = STAMP_BYTES + MADE_BYTES

/** Stamps and head of the record: its checksum tells metadata and body, so this much tells a value from its successor. */
const BEGINNING_BYTES = PREAMBLE_BYTES + HEAD_BYTES

/** A value of the hash of heads, decoded. */
export interface RedisValue {
  readonly metadata: StoredMetadata
  readonly checksums: readonly number[]
  readonly bodyLength: number
  /** The body, when it came along. */
  readonly inline: Buffer | null
  /** The bytes that it begins with: two values that begin alike are the same. */
  readonly beginning: Buffer
}

export function encodeValue(keyHash: Buffer, metadata: StoredMetadata, body: Buffer): Buffer {
  const head = headOf(keyHash, metadata, blockChecksums(body), body.length)
  return body.length <= MAX_INLINE_BYTES ? Buffer.concat([head, body]) : head
}

/** For a body that stays where it is. */
export function headOf(
  keyHash: Buffer,
  metadata: StoredMetadata,
  checksums: readonly number[],
  bodyLength: number,
): Buffer {
  const made = Buffer.alloc(MADE_BYTES)
  made.writeBigUInt64BE(BigInt(Math.floor((performance.timeOrigin + performance.now()) * 1000)))
  return Buffer.concat([
    stampOf(metadata.responseAt),
    made,
    encodeHead(keyHash, metadata, checksums, bodyLength),
  ])
}

/** Sorts as the instants do, byte by byte. */
export function stampOf(responseAt: number): Buffer {
  const stamp = Buffer.alloc(STAMP_BYTES)
  stamp.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(responseAt))))
  return stamp
}

export function beginningOf(value: Buffer): Buffer {
  // A copy: what it comes from is a piece of a larger buffer.
  return Buffer.from(value.subarray(0, BEGINNING_BYTES))
}

/** Null for anything that is not, bit for bit, what was stored for this key; an inline body is checked here too. */
export function decodeValue(value: unknown, key: string, keyHash: Buffer): RedisValue | null {
  if (!Buffer.isBuffer(value)) return null
  const record = value.subarray(PREAMBLE_BYTES)
  const headBytes = headLength(record)
  if (headBytes === undefined || headBytes > record.length) return null
  const head = decodeHead(record.subarray(0, headBytes), keyHash)
  if (head === null || head.metadata.key !== key) return null
  const { metadata, blockChecksums: checksums } = head
  // It would keep everything newer out.
  if (value.compare(stampOf(metadata.responseAt), 0, STAMP_BYTES, 0, STAMP_BYTES) !== 0) return null
  const bodyLength = inlineBodyBytes(record)
  if (checksums.length !== Math.ceil(bodyLength / BLOCK_BYTES)) return null
  const beginning = beginningOf(value)
  const rest = record.subarray(headBytes)
  if (bodyLength > MAX_INLINE_BYTES) {
    return rest.length === 0 ? { metadata, checksums, bodyLength, inline: null, beginning } : null
  }
  if (rest.length !== bodyLength || !isSound(rest, checksums)) return null
  return { metadata, checksums, bodyLength, inline: rest, beginning }
}

/** Newest first. */
export function compareValues(a: RedisValue, b: RedisValue): number {
  return b.beginning.compare(a.beginning, 0, PREAMBLE_BYTES, 0, PREAMBLE_BYTES)
}

/** Whether a whole body is the one that these are the checksums of. */
export function isSound(body: Buffer, checksums: readonly number[], firstBlock = 0): boolean {
  for (let at = 0, block = firstBlock; at < body.length; at += BLOCK_BYTES, block++) {
    if (crc32(body.subarray(at, at + BLOCK_BYTES)) !== checksums[block]) return false
  }
  return true
}

import { crc32 } from 'node:zlib'
import { hashOf } from '../content-hash.ts'
import {
  BLOCK_BYTES,
  blockChecksums,
  decodeHead,
  encodeHead,
  headLength,
  inlineBodyBytes,
} from '../record.ts'
import type { StoredMetadata } from '../stored-response.ts'

/** A body up to this long travels with its head: one round trip. */
export const MAX_INLINE_BYTES = 16 * 1024

/** Before the record: when the response came (u64, ms), which tells the newer of two values to the script that stores. */
const STAMP_BYTES = 8

/** A value of the hash of heads, decoded. */
export interface RedisValue {
  readonly metadata: StoredMetadata
  readonly checksums: readonly number[]
  readonly bodyLength: number
  /** The body, when it came along. */
  readonly inline: Buffer | null
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
  const stamp = Buffer.alloc(STAMP_BYTES)
  stamp.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(metadata.responseAt))))
  return Buffer.concat([stamp, encodeHead(keyHash, metadata, checksums, bodyLength)])
}

/** Null for anything that is not, bit for bit, what was stored for this key; an inline body is checked here too. */
export function decodeValue(value: unknown, key: string, keyHash: Buffer): RedisValue | null {
  if (!Buffer.isBuffer(value)) return null
  const record = value.subarray(STAMP_BYTES)
  const headBytes = headLength(record)
  if (headBytes === undefined || headBytes > record.length) return null
  const head = decodeHead(record.subarray(0, headBytes), keyHash)
  if (head === null || head.metadata.key !== key) return null
  const { metadata, blockChecksums: checksums } = head
  const bodyLength = inlineBodyBytes(record)
  if (checksums.length !== Math.ceil(bodyLength / BLOCK_BYTES)) return null
  const rest = record.subarray(headBytes)
  if (bodyLength > MAX_INLINE_BYTES) {
    return rest.length === 0 ? { metadata, checksums, bodyLength, inline: null } : null
  }
  if (rest.length !== bodyLength || !isSound(rest, checksums)) return null
  return { metadata, checksums, bodyLength, inline: rest }
}

/** Whether a whole body is the one that these are the checksums of. */
export function isSound(body: Buffer, checksums: readonly number[], firstBlock = 0): boolean {
  for (let at = 0, block = firstBlock; at < body.length; at += BLOCK_BYTES, block++) {
    if (crc32(body.subarray(at, at + BLOCK_BYTES)) !== checksums[block]) return false
  }
  return true
}

/** What tells one body of a slot from another, so that a head never meets the bytes of another version. */
export function bodyVersion(checksums: readonly number[], bodyLength: number): string {
  return hashOf(`${bodyLength}:${checksums.join(',')}`).toString('base64url')
}

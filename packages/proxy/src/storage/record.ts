import { crc32 } from 'node:zlib'
import { packMetadata, slotText, unpackMetadata } from './metadata-codec.ts'
import type { StoredMetadata } from './stored-response.ts'

/**
 * One stored response on disk: head, metadata, a checksum per block of the body, body. Everything is covered by a
 * checksum that is verified before a byte of it is used, so a torn, rotten or swapped record is a miss.
 *
 *   0  u32 magic            16  key hash (16 bytes)
 *   4  u32 version          32  u32 blocks
 *   8  u32 metadata bytes   36  u32 CRC-32 of bytes 0–35, metadata and block checksums
 *  12  u32 body bytes that   40  metadata, block checksums (u32 each), body
 *      follow (0: elsewhere)
 */
export const HEAD_BYTES = 40
/** The body is verified, and read, in blocks of this size. */
export const BLOCK_BYTES = 64 * 1024

const MAGIC = 0x4c415244
const VERSION = 1
const MAX_METADATA_BYTES = 1024 * 1024
const MAX_BLOCKS = 64 * 1024 * 1024

export interface RecordHead {
  readonly metadata: StoredMetadata
  readonly blockChecksums: readonly number[]
}

/** Head, metadata and block checksums: all of a record but its body. */
export function encodeHead(
  keyHash: Buffer,
  metadata: StoredMetadata,
  blockChecksums: readonly number[],
  inlineBodyBytes: number,
): Buffer {
  const packed = packMetadata(metadata)
  const bytes = Buffer.allocUnsafeSlow(HEAD_BYTES + packed.length + blockChecksums.length * 4)
  bytes.writeUInt32BE(MAGIC, 0)
  bytes.writeUInt32BE(VERSION, 4)
  bytes.writeUInt32BE(packed.length, 8)
  bytes.writeUInt32BE(inlineBodyBytes, 12)
  keyHash.copy(bytes, 16, 0, 16)
  bytes.writeUInt32BE(blockChecksums.length, 32)
  packed.copy(bytes, HEAD_BYTES)
  let at = HEAD_BYTES + packed.length
  for (const checksum of blockChecksums) at = bytes.writeUInt32BE(checksum, at)
  bytes.writeUInt32BE(headChecksum(bytes), 36)
  return bytes
}

function headChecksum(bytes: Buffer): number {
  return crc32(bytes.subarray(HEAD_BYTES), crc32(bytes.subarray(0, 36)))
}

/** The head's length as its first 40 bytes tell it; undefined when they are no record's. */
export function headLength(bytes: Buffer): number | undefined {
  if (bytes.length < HEAD_BYTES) return undefined
  if (bytes.readUInt32BE(0) !== MAGIC || bytes.readUInt32BE(4) !== VERSION) return undefined
  const metadataBytes = bytes.readUInt32BE(8)
  const blocks = bytes.readUInt32BE(32)
  if (metadataBytes > MAX_METADATA_BYTES || blocks > MAX_BLOCKS) return undefined
  return HEAD_BYTES + metadataBytes + blocks * 4
}

/** Bytes of body that follow the head in its segment. */
export function inlineBodyBytes(bytes: Buffer): number {
  return bytes.readUInt32BE(12)
}

export function keyHashOf(bytes: Buffer): Buffer {
  return bytes.subarray(16, 32)
}

/** Null when it is not, bit for bit, what was written for this key. `bytes` is exactly the head. */
export function decodeHead(bytes: Buffer, keyHash: Buffer): RecordHead | null {
  const length = headLength(bytes)
  if (length === undefined || length !== bytes.length) return null
  if (bytes.compare(keyHash, 0, 16, 16, 32) !== 0) return null
  if (bytes.readUInt32BE(36) !== headChecksum(bytes)) return null
  const metadataBytes = bytes.readUInt32BE(8)
  const checksums: number[] = []
  for (let at = HEAD_BYTES + metadataBytes; at < length; at += 4) {
    checksums.push(bytes.readUInt32BE(at))
  }
  try {
    const packed = bytes.subarray(HEAD_BYTES, HEAD_BYTES + metadataBytes)
    return { metadata: unpackMetadata(packed), blockChecksums: checksums }
  } catch {
    // The sum was right, so another version wrote it: as good as nothing.
    return null
  }
}

export function blockChecksums(body: Buffer): number[] {
  const checksums: number[] = []
  for (let at = 0; at < body.length; at += BLOCK_BYTES) {
    checksums.push(crc32(body.subarray(at, at + BLOCK_BYTES)))
  }
  return checksums
}

/** 32 bits that tell a key's variants and parts apart in the index. */
export function slotOf(metadata: StoredMetadata): number {
  return crc32(slotText(metadata))
}

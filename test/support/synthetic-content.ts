import { createHash } from 'node:crypto'

/** Content that follows from its position, of any length: every 4 KiB block begins with where it is and of which version. */
const BLOCK_BYTES = 4096
const HEAD_BYTES = 16

const filling = Buffer.alloc(BLOCK_BYTES)
for (let at = HEAD_BYTES; at < BLOCK_BYTES; at += 32) {
  createHash('sha256').update(`${at}`).digest().copy(filling, at)
}

/** Bytes [first, first + length) of a version. */
export function contentAt(first: number, length: number, version = 1): Buffer {
  const firstBlock = Math.floor(first / BLOCK_BYTES)
  const blocks = Math.ceil((first + length) / BLOCK_BYTES) - firstBlock
  const bytes = Buffer.allocUnsafe(blocks * BLOCK_BYTES)
  for (let i = 0; i < blocks; i++) {
    const at = i * BLOCK_BYTES
    filling.copy(bytes, at)
    bytes.writeBigUInt64BE(BigInt(firstBlock + i), at)
    bytes.writeBigUInt64BE(BigInt(version), at + 8)
  }
  const skipped = first - firstBlock * BLOCK_BYTES
  return bytes.subarray(skipped, skipped + length)
}

import { crc32 } from 'node:zlib'

/**
 * One record of a journal: u32 magic, u32 bytes of the payload, u32 CRC-32 of both, payload (JSON). What is written
 * and synced together is one record, so that after a power cut at most the last one is torn.
 */
const HEAD_BYTES = 12
/** No JSON holds this byte sequence: it is not UTF-8. */
const MAGIC = 0xfa4c5052

export function encodeRecord(value: unknown): Buffer {
  return encodePayload(Buffer.from(JSON.stringify(value)))
}

export function encodePayload(payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length)
  bytes.writeUInt32BE(MAGIC, 0)
  bytes.writeUInt32BE(payload.length, 4)
  bytes.set(payload, HEAD_BYTES)
  bytes.writeUInt32BE(checksum(payload), 8)
  return bytes
}

function checksum(payload: Uint8Array): number {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(payload.length)
  return crc32(payload, crc32(length))
}

/** The payload that begins at this offset; undefined when it is not whole. */
export function payloadAt(bytes: Buffer, offset: number): Buffer | undefined {
  if (offset + HEAD_BYTES > bytes.length || bytes.readUInt32BE(offset) !== MAGIC) return undefined
  const start = offset + HEAD_BYTES
  const end = start + bytes.readUInt32BE(offset + 4)
  if (end > bytes.length) return undefined
  const payload = bytes.subarray(start, end)
  return checksum(payload) === bytes.readUInt32BE(offset + 8) ? payload : undefined
}

export interface JournalContent {
  readonly values: readonly unknown[]
  /** Bytes up to the end of the last record before anything was amiss. */
  readonly soundBytes: number
  /** `torn`: the end is missing, as a crash leaves it. `damaged`: something sound comes after something that is not. */
  readonly end: 'whole' | 'torn' | 'damaged'
  /** What could still be read behind the damage. */
  readonly afterDamage: readonly unknown[]
}

export function readJournal(bytes: Buffer): JournalContent {
  const values: unknown[] = []
  let offset = 0
  for (;;) {
    const payload = payloadAt(bytes, offset)
    if (payload === undefined) break
    values.push(JSON.parse(payload.toString()))
    offset += HEAD_BYTES + payload.length
  }
  const afterDamage = readBehind(bytes, offset + 1)
  const end = offset === bytes.length ? 'whole' : afterDamage.length > 0 ? 'damaged' : 'torn'
  return { values, soundBytes: offset, end, afterDamage }
}

function readBehind(bytes: Buffer, from: number): unknown[] {
  const magic = Buffer.alloc(4)
  magic.writeUInt32BE(MAGIC)
  const values: unknown[] = []
  let offset = bytes.indexOf(magic, from)
  while (offset >= 0) {
    const payload = payloadAt(bytes, offset)
    if (payload !== undefined) values.push(JSON.parse(payload.toString()))
    const next = payload === undefined ? offset + 1 : offset + HEAD_BYTES + payload.length
    offset = bytes.indexOf(magic, next)
  }
  return values
}

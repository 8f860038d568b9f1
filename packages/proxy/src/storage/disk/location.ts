/** Where a record is: its head in a segment, or behind the body in a file of its own. */
export interface Location {
  readonly segment: number
  /** `OWN_FILE` when the head is in the file of its body. */
  readonly offset: number
  /** Bytes of head, metadata and block checksums. */
  readonly headBytes: number
  /** Bytes of the body. */
  readonly bodyBytes: number
  /** Where the body is: elsewhere when other records have the same bytes, or when only the head was written anew. */
  readonly bodySegment: number
  readonly bodyOffset: number
  /** The body has a file of its own. */
  readonly bodyInFile: boolean
  /** Epoch seconds. */
  readonly storedAt: number
  /** Which variant or part of the key: `slotOf`. */
  readonly slot: number
}

/** Offset of heads that follow the body in a file of its own. */
export const OWN_FILE = 0xffffffff

const ENTRY_BYTES = 40
const BODY_IN_FILE = 1

type Place = Pick<Location, 'segment' | 'offset'>

export function isSamePlace(a: Place, b: Place): boolean {
  return a.segment === b.segment && a.offset === b.offset
}

export function encodeEntries(locations: readonly Location[]): Buffer {
  const bytes = Buffer.allocUnsafe(locations.length * ENTRY_BYTES)
  locations.forEach((location, i) => {
    const at = i * ENTRY_BYTES
    bytes.writeUInt32BE(location.segment, at)
    bytes.writeUInt32BE(location.offset, at + 4)
    bytes.writeUInt32BE(location.headBytes, at + 8)
    bytes.writeDoubleBE(location.bodyBytes, at + 12)
    bytes.writeUInt32BE(location.bodySegment, at + 20)
    bytes.writeUInt32BE(location.bodyOffset, at + 24)
    bytes.writeUInt32BE(location.storedAt, at + 28)
    bytes.writeUInt32BE(location.slot, at + 32)
    bytes.writeUInt32BE(location.bodyInFile ? BODY_IN_FILE : 0, at + 36)
  })
  return bytes
}

export function decodeEntries(bytes: Buffer): Location[] {
  const locations: Location[] = []
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
    locations.push({
      segment: bytes.readUInt32BE(at),
      offset: bytes.readUInt32BE(at + 4),
      headBytes: bytes.readUInt32BE(at + 8),
      bodyBytes: bytes.readDoubleBE(at + 12),
      bodySegment: bytes.readUInt32BE(at + 20),
      bodyOffset: bytes.readUInt32BE(at + 24),
      bodyInFile: (bytes.readUInt32BE(at + 36) & BODY_IN_FILE) !== 0,
      storedAt: bytes.readUInt32BE(at + 28),
      slot: bytes.readUInt32BE(at + 32),
    })
  }
  return locations
}

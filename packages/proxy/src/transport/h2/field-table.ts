import { FieldLine } from './field-line.ts'
import { STATIC_FIELDS } from './hpack-tables.ts'

const STATIC_LINES = STATIC_FIELDS.map(([name, value]) => new FieldLine(name, value))

/** SETTINGS_HEADER_TABLE_SIZE that we leave at its default (RFC 9113 §6.5.2): bytes of dynamic table per connection. */
export const TABLE_BYTES = 4096

/** A line costs at least 32 of the table's bytes, so no more can be in it; a power of two, for the ring. */
const RING_LINES = 128

/** The index space of a decoder: the static table, then the dynamic one, newest first (RFC 7541 §2.3). */
export class FieldTable {
  #ring: (FieldLine | null)[] = []
  /** Lines ever inserted, modulo the ring. */
  #newest = 0
  #count = 0
  #bytes = 0
  #maxBytes = TABLE_BYTES

  /** undefined: COMPRESSION_ERROR (RFC 7541 §2.3.3). */
  lookUp(index: number): FieldLine | undefined {
    if (index <= STATIC_LINES.length) return STATIC_LINES[index - 1]
    const age = index - STATIC_LINES.length - 1
    if (age >= this.#count) return undefined
    // Slots of the newest `#count` lines are filled.
    return this.#ring[(this.#newest - age) & (RING_LINES - 1)]!
  }

  /** RFC 7541 §4.4: a line larger than the table empties it. */
  insert(line: FieldLine): void {
    this.#evictTo(this.#maxBytes - line.size)
    if (line.size > this.#maxBytes) return
    this.#newest = (this.#newest + 1) & (RING_LINES - 1)
    this.#ring[this.#newest] = line
    this.#count++
    this.#bytes += line.size
  }

  /** False when the update exceeds what we announced (RFC 7541 §6.3). */
  resize(maxBytes: number): boolean {
    if (maxBytes > TABLE_BYTES) return false
    this.#maxBytes = maxBytes
    this.#evictTo(maxBytes)
    return true
  }

  #evictTo(bytes: number): void {
    while (this.#bytes > bytes && this.#count > 0) {
      const oldest = (this.#newest - this.#count + 1) & (RING_LINES - 1)
      this.#bytes -= this.#ring[oldest]!.size
      this.#ring[oldest] = null
      this.#count--
    }
  }
}

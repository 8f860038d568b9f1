import { FieldLine } from './field-line.ts'
import { FieldTable } from './field-table.ts'
import { decodeHuffman } from './huffman.ts'

/** Takes the lines of one field section in order. */
export interface FieldLineSink {
  /** False: no more of them, the section is beyond every limit. */
  add(line: FieldLine): boolean
}

export type DecodeResult = 'done' | 'broken' | 'refused'

/** Compressed bytes of one field section that are taken at most (CONTINUATION included). */
export const MAX_BLOCK_BYTES = 128 * 1024

/** Where Huffman text is unpacked before it becomes a string; shared, since decoding never waits. */
const unpacked = Buffer.allocUnsafeSlow(Math.ceil((MAX_BLOCK_BYTES * 8) / 5))

/** Reads field blocks; one per connection, because the dynamic table lives as long as it (RFC 7541). */
export class HpackDecoder {
  readonly #table: FieldTable
  /** Offset behind what was read last. */
  #at: number

  constructor() {
    this.#table = new FieldTable()
    this.#at = 0
  }

  /**
   * After 'broken' (COMPRESSION_ERROR) and 'refused' the table is out of step with the encoder's: the connection must
   * end (RFC 9113 §4.3).
   */
  decode(block: Buffer, start: number, end: number, sink: FieldLineSink): DecodeResult {
    let sizeUpdateAllowed = true
    this.#at = start
    while (this.#at < end) {
      const first = block[this.#at]
      if ((first & 0xe0) === 0x20) {
        // RFC 7541 §4.2: only before the first line of a block.
        if (!sizeUpdateAllowed) return 'broken'
        const maxBytes = this.#readInteger(block, end, 0x1f)
        if (maxBytes < 0 || !this.#table.resize(maxBytes)) return 'broken'
        continue
      }
      sizeUpdateAllowed = false
      const line =
        first >= 0x80 ? this.#readIndexed(block, end) : this.#readLiteral(block, end, first)
      if (line === undefined) return 'broken'
      if (!sink.add(line)) return 'refused'
    }
    return 'done'
  }

  /** RFC 7541 §6.1 */
  #readIndexed(block: Buffer, end: number): FieldLine | undefined {
    const index = this.#readInteger(block, end, 0x7f)
    return index > 0 ? this.#table.lookUp(index) : undefined
  }

  /** RFC 7541 §6.2: with indexing 01, without 0000, never indexed 0001. */
  #readLiteral(block: Buffer, end: number, first: number): FieldLine | undefined {
    const indexing = first >= 0x40
    const nameIndex = this.#readInteger(block, end, indexing ? 0x3f : 0x0f)
    if (nameIndex < 0) return undefined
    const name = nameIndex === 0 ? this.#readText(block, end) : this.#table.lookUp(nameIndex)?.name
    if (name === undefined) return undefined
    const value = this.#readText(block, end)
    if (value === undefined) return undefined
    const line = new FieldLine(name, value)
    if (indexing) this.#table.insert(line)
    return line
  }

  /** RFC 7541 §5.1; -1 when it is cut off or larger than anything that we could accept. */
  #readInteger(block: Buffer, end: number, mask: number): number {
    let value = block[this.#at++] & mask
    if (value < mask) return value
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= end) return -1
      const octet = block[this.#at++]
      value += (octet & 0x7f) << shift
      if (octet < 0x80) return value
    }
    return -1
  }

  /** RFC 7541 §5.2, as Latin-1 text. */
  #readText(block: Buffer, end: number): string | undefined {
    if (this.#at >= end) return undefined
    const huffman = block[this.#at] >= 0x80
    const length = this.#readInteger(block, end, 0x7f)
    const start = this.#at
    if (length < 0 || length > end - start) return undefined
    this.#at = start + length
    if (!huffman) return block.latin1Slice(start, start + length)
    const textLength = decodeHuffman(block, start, start + length, unpacked)
    return textLength < 0 ? undefined : unpacked.latin1Slice(0, textLength)
  }
}

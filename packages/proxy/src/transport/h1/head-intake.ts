import { hasLineFeed, type InputBuffer } from '../../http/message/input-buffer.ts'
import type { RequestReader } from './request-reader.ts'

/** RFC 9112 §2.2: empty lines ahead of a request line are old clients' habit. */
const MAX_EMPTY_LINES = 2

/** Takes request heads off the input, at a cost that is linear in what came, however small the packets. */
export class HeadIntake {
  readonly #reader: RequestReader
  readonly #maxBytes: number
  #emptyLines = 0
  /** Octets of an incomplete head that have been read: they are read again only when another line has come. */
  #bytesSeen = 0

  constructor(reader: RequestReader, maxBytes: number) {
    this.#reader = reader
    this.#maxBytes = maxBytes
  }

  /** 1 when the reader holds a request, 0 when more bytes are needed, -1 when the reader holds a refusal. */
  take(input: InputBuffer): -1 | 0 | 1 {
    if (!this.#worthReading(input) || !this.#skipEmptyLines(input)) return 0
    const next = this.#reader.read(input.bytes, input.start, input.end)
    if (next === 0) {
      if (input.available <= this.#maxBytes) {
        this.#bytesSeen = input.available
        return 0
      }
      this.#reader.refuseTooLarge()
    }
    this.#bytesSeen = 0
    this.#emptyLines = 0
    if (next <= 0) return -1
    input.start = next
    return 1
  }

  #worthReading(input: InputBuffer): boolean {
    const seen = this.#bytesSeen
    if (seen === 0 || input.available > this.#maxBytes) return true
    if (hasLineFeed(input.bytes, input.start + seen, input.end)) return true
    this.#bytesSeen = input.available
    return false
  }

  /** False when the input ends there. */
  #skipEmptyLines(input: InputBuffer): boolean {
    while (input.bytes[input.start] === 0x0d && this.#emptyLines < MAX_EMPTY_LINES) {
      if (input.available < 2) return false
      if (input.bytes[input.start + 1] !== 0x0a) return true
      input.start += 2
      this.#emptyLines++
      if (input.available === 0) return false
    }
    return true
  }
}

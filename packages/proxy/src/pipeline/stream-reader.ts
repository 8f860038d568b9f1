import type { Exchange, ResponseWriter } from '../transport/exchange.ts'
import type { ChunkHint, ResponseStream } from './response-stream.ts'

const READ_BACK_BYTES = 256 * 1024

/** One exchange reading a body under way: from memory while it keeps up, from disk while it is behind. */
export class StreamReader {
  readonly exchange: Exchange
  position: number
  readonly #stream: ResponseStream
  readonly #writer: ResponseWriter
  readonly #end: number
  readonly #hint: ChunkHint = { index: 0, start: 0, heldFrom: -1 }
  #ended = false
  #pumping = false
  #blocked = false
  #readingBack = false

  constructor(
    stream: ResponseStream,
    exchange: Exchange,
    writer: ResponseWriter,
    first: number,
    end: number,
  ) {
    this.#stream = stream
    this.exchange = exchange
    this.#writer = writer
    this.position = first
    this.#end = end
    writer.onDrain = () => {
      this.#blocked = false
      this.pump()
      stream.trim()
    }
  }

  /** Writes what is there until the transport is full. */
  pump(): void {
    if (this.#pumping || this.#blocked || this.#readingBack || this.#ended) return
    this.#pumping = true
    while (!this.#blocked && !this.#readingBack && this.position < this.#end) {
      if (this.position < this.#stream.heldFrom) {
        void this.#readBack()
        break
      }
      const bytes = this.#stream.bytesAt(this.position, this.#hint)
      if (bytes === null) break
      this.#write(bytes)
    }
    this.#pumping = false
    this.#endIfDone()
  }

  #write(bytes: Buffer): void {
    const left = this.#end - this.position
    const piece = bytes.length > left ? bytes.subarray(0, left) : bytes
    this.position += piece.length
    this.#blocked = !this.#writer.write(piece)
  }

  /** What memory has let go of. One piece at a time, so that a slow client holds one piece. */
  async #readBack(): Promise<void> {
    this.#readingBack = true
    const end = Math.min(this.position + READ_BACK_BYTES, this.#stream.heldFrom, this.#end)
    try {
      const bytes = await this.#stream.readBack(this.position, end)
      this.#readingBack = false
      if (this.#ended) return
      this.#write(bytes)
      this.pump()
    } catch {
      // The disk gave up in the middle: the client must see that the body is not whole.
      this.#ended = true
      this.#stream.done(this)
      this.exchange.abort()
    }
  }

  #endIfDone(): void {
    const stream = this.#stream
    const complete = stream.state === 'complete' && this.position >= stream.received
    if (this.#ended || this.#readingBack || (!complete && this.position < this.#end)) return
    this.#ended = true
    stream.done(this)
    if (complete && stream.trailers !== null) this.#writer.end(stream.trailers)
    else this.#writer.end()
  }
}

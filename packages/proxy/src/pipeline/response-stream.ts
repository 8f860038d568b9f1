import type { Fields } from '../http/fields.ts'
import type { OriginFetch } from '../origin/origin-fetch.ts'
import type { Exchange, ResponseWriter } from '../transport/exchange.ts'

/** The slowest reader may fall this far behind the origin before the origin has to wait for it. */
const MAX_LAG_BYTES = 256 * 1024
/** One reader alone needs no more than keeps its transport busy: it may be one of thousands. */
const MAX_LAG_ALONE_BYTES = 32 * 1024

/**
 * A response body under way, read by any number of exchanges. While it is being stored every byte is kept and a new
 * reader can begin at byte zero; afterwards only the window between the slowest reader and the origin is held, and
 * the slowest reader sets the origin's pace.
 */
export class ResponseStream {
  readonly #fetch: OriginFetch
  #chunks: Buffer[] = []
  /** Position in the body of the first byte held. */
  #heldFrom = 0
  #received = 0
  #state: 'open' | 'complete' | 'failed' = 'open'
  #trailers: Fields | null = null
  #keepAll: boolean
  #paused = false
  readonly #readers = new Set<StreamReader>()

  constructor(fetch: OriginFetch, keepAll: boolean) {
    this.#fetch = fetch
    this.#keepAll = keepAll
  }

  get readerCount(): number {
    return this.#readers.size
  }

  /** True while a new reader would get the body from its first byte. */
  get isWhole(): boolean {
    return this.#heldFrom === 0 && this.#state !== 'failed'
  }

  get received(): number {
    return this.#received
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    for (const reader of this.#readers) reader.pump()
    this.#trim()
  }

  finish(trailers: Fields | null): void {
    this.#state = 'complete'
    this.#trailers = trailers
    for (const reader of this.#readers) reader.pump()
  }

  /** The body will never be complete: every reader's client is shown so. */
  fail(): void {
    this.#state = 'failed'
    for (const reader of this.#readers) reader.exchange.abort()
    this.#readers.clear()
    this.#chunks = []
  }

  /** The tier has given up: from now on only the window is held. */
  stopKeeping(): void {
    this.#keepAll = false
    this.#trim()
  }

  /**
   * Sends bytes [first, end) of the body to an exchange that has just been answered with a streaming head; `end` may
   * be Infinity. Requires `isWhole`.
   */
  addReader(exchange: Exchange, writer: ResponseWriter, first: number, end: number): void {
    const reader = new StreamReader(this, exchange, writer, first, end)
    this.#readers.add(reader)
    writer.onDrain = () => {
      reader.unblock()
      this.#trim()
    }
    reader.pump()
  }

  removeExchange(exchange: Exchange): void {
    for (const reader of this.#readers) {
      if (reader.exchange !== exchange) continue
      this.#readers.delete(reader)
      this.#trim()
      return
    }
  }

  /** @internal The reader has all it wanted. */
  done(reader: StreamReader): void {
    this.#readers.delete(reader)
  }

  /** @internal */
  get state(): 'open' | 'complete' | 'failed' {
    return this.#state
  }

  /** @internal */
  get trailers(): Fields | null {
    return this.#trailers
  }

  /** @internal The held bytes from a position on, up to the end of one chunk; null when there are none yet. */
  bytesAt(position: number, hint: ChunkHint): Buffer | null {
    if (position >= this.#received) return null
    if (
      hint.start > position ||
      hint.index >= this.#chunks.length ||
      hint.generation !== this.#heldFrom
    ) {
      hint.index = 0
      hint.start = this.#heldFrom
      hint.generation = this.#heldFrom
    }
    while (position >= hint.start + this.#chunks[hint.index].length) {
      hint.start += this.#chunks[hint.index].length
      hint.index++
    }
    return position === hint.start
      ? this.#chunks[hint.index]
      : this.#chunks[hint.index].subarray(position - hint.start)
  }

  #slowest(): number {
    let slowest = this.#received
    for (const reader of this.#readers) if (reader.position < slowest) slowest = reader.position
    return slowest
  }

  #trim(): void {
    if (this.#keepAll || this.#state === 'failed') return
    const slowest = this.#slowest()
    let dropped = 0
    while (
      dropped < this.#chunks.length &&
      this.#heldFrom + this.#chunks[dropped].length <= slowest
    ) {
      this.#heldFrom += this.#chunks[dropped].length
      dropped++
    }
    if (dropped > 0) this.#chunks.splice(0, dropped)
    const lag = this.#received - slowest
    const maxLag = this.#readers.size > 1 ? MAX_LAG_BYTES : MAX_LAG_ALONE_BYTES
    if (!this.#paused && lag > maxLag) {
      this.#paused = true
      this.#fetch.pause()
    } else if (this.#paused && lag <= maxLag / 2) {
      this.#paused = false
      this.#fetch.resume()
    }
  }
}

/** Where a reader found its last chunk, so that it need not search from the start. */
interface ChunkHint {
  index: number
  start: number
  /** `heldFrom` when it was true. */
  generation: number
}

class StreamReader {
  readonly exchange: Exchange
  position: number
  readonly #stream: ResponseStream
  readonly #writer: ResponseWriter
  readonly #end: number
  readonly #hint: ChunkHint = { index: 0, start: 0, generation: -1 }
  #ended = false
  #pumping = false
  #blocked = false

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
  }

  unblock(): void {
    this.#blocked = false
    this.pump()
  }

  /** Writes what is there until the transport is full. */
  pump(): void {
    if (this.#pumping || this.#blocked || this.#ended) return
    this.#pumping = true
    while (!this.#blocked && this.position < this.#end) {
      const bytes = this.#stream.bytesAt(this.position, this.#hint)
      if (bytes === null) break
      const left = this.#end - this.position
      const piece = bytes.length > left ? bytes.subarray(0, left) : bytes
      this.position += piece.length
      this.#blocked = !this.#writer.write(piece)
    }
    this.#pumping = false
    this.#endIfDone()
  }

  #endIfDone(): void {
    const stream = this.#stream
    const complete = stream.state === 'complete' && this.position >= stream.received
    if (!complete && this.position < this.#end) return
    this.#ended = true
    stream.done(this)
    if (complete && stream.trailers !== null) this.#writer.end(stream.trailers)
    else this.#writer.end()
  }
}

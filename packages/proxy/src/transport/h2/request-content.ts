import type { Fields } from '../../http/fields.ts'
import type { BodySink, RequestBody } from '../exchange.ts'
import type { Http2Stream } from './stream.ts'

/** A chunk that is smaller than this part of the socket's read is copied, lest a few bytes keep the whole read alive. */
const WORTH_KEEPING = 1 / 4

const HELD_BLOCK_BYTES = 4096

/**
 * The content of one request. What the sink has not taken stays here, and its flow-control window is not given back:
 * so a stream never holds more than the window of 64 KiB that it began with (RFC 9113 §5.2).
 */
export class RequestContent implements RequestBody {
  readonly length: number | undefined
  /** Content octets that came, padding not counted. */
  receivedBytes: number
  /** END_STREAM came. */
  ended: boolean
  readonly #stream: Http2Stream
  #sink: BodySink | null
  #paused: boolean
  #held: Buffer[]
  /** Used of the last block that is held. */
  #lastBytes: number
  #heldBytes: number
  #trailers: Fields | null
  /** The sink knows how it ended. */
  #settled: boolean
  #aborted: boolean
  #deliveryQueued: boolean

  constructor(stream: Http2Stream, length: number | undefined) {
    this.length = length
    this.receivedBytes = 0
    this.ended = false
    this.#stream = stream
    this.#sink = null
    this.#paused = false
    this.#held = []
    this.#lastBytes = 0
    this.#heldBytes = 0
    this.#trailers = null
    this.#settled = false
    this.#aborted = false
    this.#deliveryQueued = false
  }

  consume(sink: BodySink): void {
    if (this.#sink !== null) throw new Error('A request body can be consumed once only')
    this.#sink = sink
    this.#stream.contentWanted()
    this.#deliverLater()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#deliverLater()
  }

  /** We take what comes at once: then the client has no excuse for being slow. */
  get isWanted(): boolean {
    return this.#sink !== null && !this.#paused && this.#heldBytes === 0
  }

  /** True when the content that came so far can still become a whole of the promised length (RFC 9113 §8.1.1). */
  get fitsLength(): boolean {
    if (this.length === undefined) return true
    return this.ended ? this.receivedBytes === this.length : this.receivedBytes <= this.length
  }

  /** @internal DATA came; the slice is of a buffer that the socket read into. */
  receive(buffer: Buffer, start: number, end: number): void {
    const length = end - start
    if (length === 0) return
    const slice = buffer.subarray(start, end)
    const shared = length < buffer.buffer.byteLength * WORTH_KEEPING
    if (this.isWanted) {
      this.#hand(shared ? Buffer.from(slice) : slice)
    } else this.#hold(slice)
  }

  /** @internal END_STREAM came. */
  end(trailers: Fields | null): void {
    this.ended = true
    this.#trailers = trailers
    if (this.isWanted) this.#handEnd()
  }

  /** @internal The stream is over: nothing is delivered any more. Returns octets whose window is to be given back. */
  stop(): number {
    this.#aborted = true
    const bytes = this.#heldBytes
    this.#held = []
    this.#heldBytes = 0
    return bytes
  }

  /** @internal After `stop`: tells the sink, unless it had everything. */
  settle(): void {
    if (this.#settled) return
    this.#settled = true
    this.#sink?.onAbort()
  }

  /** Small frames are packed together: thousands of them must not become thousands of buffers. */
  #hold(slice: Buffer): void {
    const held = this.#held
    const last = held.length - 1
    this.#heldBytes += slice.length
    if (last >= 0 && this.#lastBytes + slice.length <= held[last].length) {
      slice.copy(held[last], this.#lastBytes)
      this.#lastBytes += slice.length
      return
    }
    if (last >= 0) held[last] = held[last].subarray(0, this.#lastBytes)
    const block = Buffer.allocUnsafeSlow(Math.max(slice.length, HELD_BLOCK_BYTES))
    slice.copy(block)
    held.push(block)
    this.#lastBytes = slice.length
  }

  #deliverLater(): void {
    if (this.#deliveryQueued) return
    this.#deliveryQueued = true
    process.nextTick(deliver, this)
  }

  /** @internal */
  deliver(): void {
    this.#deliveryQueued = false
    while (!this.#paused && !this.#aborted && this.#heldBytes > 0) {
      // `#heldBytes` counts what is in the list.
      const block = this.#held.shift()!
      const chunk = this.#held.length === 0 ? block.subarray(0, this.#lastBytes) : block
      this.#heldBytes -= chunk.length
      this.#hand(chunk)
    }
    if (this.ended && this.isWanted) this.#handEnd()
  }

  #hand(chunk: Buffer): void {
    this.#stream.consumed(chunk.length)
    try {
      this.#sink?.onChunk(chunk)
    } catch (error) {
      this.#stream.failed(error)
    }
  }

  #handEnd(): void {
    if (this.#settled || this.#aborted) return
    this.#settled = true
    try {
      this.#sink?.onEnd(this.#trailers)
    } catch (error) {
      this.#stream.failed(error)
    }
  }
}

function deliver(content: RequestContent): void {
  content.deliver()
}

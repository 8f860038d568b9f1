import type { BodyDecoder } from '../../http/message/body-decoder.ts'
import type { InputBuffer } from '../../http/message/input-buffer.ts'
import type { BodySink, RequestBody } from '../exchange.ts'

/** What a body needs of its connection. */
export interface BodyHost {
  /** The body may flow (again); called from within `consume` and `resume`. */
  bodyWanted(): void
  bodyPaused(): void
}

/** The body of the request under way, between the decoder that the connection drives and the sink of the pipeline. */
export class Http1RequestBody implements RequestBody {
  readonly length: number | undefined
  readonly decoder: BodyDecoder
  sink: BodySink | null = null
  paused = false
  /** The sink has heard its last, or will never be asked. */
  closed = false
  readonly #host: BodyHost

  constructor(length: number | undefined, decoder: BodyDecoder, host: BodyHost) {
    this.length = length
    this.decoder = decoder
    this.#host = host
  }

  /** The connection should read from the socket for this body's sake. */
  get flowing(): boolean {
    return this.sink !== null && !this.paused && !this.closed
  }

  /** The sink has had all of it, and knows. */
  get finished(): boolean {
    return this.closed && this.decoder.done
  }

  consume(sink: BodySink): void {
    if (this.sink !== null) throw new Error('A request body can be consumed once.')
    this.sink = sink
    // Too late: the connection has already cut or discarded it. Said in a turn of its own, like everything else.
    if (this.closed) process.nextTick(() => sink.onAbort())
    else this.#host.bodyWanted()
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.#host.bodyPaused()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.sink !== null && !this.closed) this.#host.bodyWanted()
  }

  /** Hands on what the input has of it, as long as the sink takes it; returns why the framing is broken, if it is. */
  feed(input: InputBuffer): string | null {
    const { decoder } = this
    while (this.flowing && !decoder.done && this.#step(input)) {
      const { dataStart, dataEnd } = decoder
      if (dataEnd > dataStart) this.sink?.onChunk(input.bytes.subarray(dataStart, dataEnd))
    }
    if (this.flowing && decoder.done) {
      this.closed = true
      this.sink?.onEnd(decoder.trailers)
    }
    return this.closed ? null : decoder.broken
  }

  /** Reads over it, as far as the input has it. */
  skip(input: InputBuffer): void {
    while (!this.decoder.done && this.#step(input));
  }

  /** False for want of input, or when the framing is broken. */
  #step(input: InputBuffer): boolean {
    const before = input.start
    input.start = this.decoder.step(input.bytes, before, input.end)
    return this.decoder.broken === null && input.start !== before
  }

  /** It will never be complete, or nobody wants it any more. */
  abandon(): void {
    if (this.closed) return
    this.closed = true
    this.sink?.onAbort()
  }
}

import type { BodySink, RequestBody } from '../exchange.ts'
import type { BodyDecoder } from './body-decoder.ts'

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

  /** The last octet was handed over. */
  finish(): void {
    if (this.closed) return
    this.closed = true
    this.sink?.onEnd(this.decoder.trailers)
  }

  /** It will never be complete, or nobody wants it any more. */
  abandon(): void {
    if (this.closed) return
    this.closed = true
    this.sink?.onAbort()
  }
}

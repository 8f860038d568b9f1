import type { Http2Stream } from './stream.ts'

/**
 * Streams that are over but whose exchanges do not know it yet. A whole response counts as sent when the socket has
 * taken it, not when it was put into the output; and the pipeline is never called back from inside a call of its own.
 */
export class StreamEndings {
  /** END_STREAM is in the output that collects. */
  #inOutput: Http2Stream[] = []
  /** END_STREAM is in the output that the socket is writing. */
  #inSocket: Http2Stream[] = []
  #over: Http2Stream[] = []

  get isEmpty(): boolean {
    return this.#over.length === 0
  }

  /** The whole response is in the output. */
  finished(stream: Http2Stream): void {
    stream.complete = true
    // A hit has no exchange: nobody waits for its end.
    if (stream.exchange !== null) this.#inOutput.push(stream)
  }

  /** Reset, by whichever side; or a tunnel that the client ended last. */
  cut(stream: Http2Stream): void {
    this.#over.push(stream)
  }

  /** The output went to the socket; the one before it has been taken. */
  handedOver(): void {
    if (this.#inOutput.length === 0) return
    this.#inSocket = this.#inOutput
    this.#inOutput = []
  }

  taken(): void {
    if (this.#inSocket.length === 0) return
    this.#over.push(...this.#inSocket)
    this.#inSocket = []
  }

  /** The socket is gone, and with it what it did not take. */
  lost(): void {
    for (const stream of [...this.#inOutput, ...this.#inSocket]) {
      stream.complete = false
      this.#over.push(stream)
    }
    this.#inOutput = []
    this.#inSocket = []
  }

  /** Tells the sink of the request first, then whoever holds the exchange. */
  tell(onError: (error: unknown) => void): void {
    for (let stream = this.#over.pop(); stream !== undefined; stream = this.#over.pop()) {
      try {
        stream.content?.settle()
      } catch (error) {
        onError(error)
      }
      try {
        stream.exchange?.settle(stream.complete)
      } catch (error) {
        onError(error)
      }
    }
  }
}

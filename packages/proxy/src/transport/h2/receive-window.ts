import { DEFAULT_WINDOW_BYTES, FRAME } from './frame.ts'
import type { Output } from './output.ts'
import type { Http2Stream } from './stream.ts'

/** Request content that all streams of a connection may hold unread: bytes. */
export const CONNECTION_WINDOW_BYTES = 1024 * 1024

/**
 * The windows for what the client sends (RFC 9113 §5.2). Octets come back to it when somebody took them, half a window
 * at a time: content that nobody wants holds the client back instead of filling our memory.
 */
export class ReceiveWindow {
  /** What the client may still send on all streams together. */
  leftBytes: number
  #consumedBytes: number
  readonly #output: Output

  constructor(output: Output) {
    this.leftBytes = CONNECTION_WINDOW_BYTES
    this.#consumedBytes = 0
    this.#output = output
  }

  /** Octets that no stream holds any more. True when the client is to hear of it. */
  giveBack(bytes: number): boolean {
    this.#consumedBytes += bytes
    if (this.#consumedBytes < CONNECTION_WINDOW_BYTES / 2) return false
    this.#output.uint32Frame(FRAME.windowUpdate, 0, this.#consumedBytes)
    this.leftBytes += this.#consumedBytes
    this.#consumedBytes = 0
    return true
  }

  /** The same for the window of a stream that the client has not ended. */
  giveBackTo(stream: Http2Stream, bytes: number): boolean {
    stream.consumedBytes += bytes
    if (stream.consumedBytes < DEFAULT_WINDOW_BYTES / 2) return false
    this.#output.uint32Frame(FRAME.windowUpdate, stream.id, stream.consumedBytes)
    stream.receiveWindowBytes += stream.consumedBytes
    stream.consumedBytes = 0
    return true
  }
}

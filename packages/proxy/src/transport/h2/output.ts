import type { Duplex } from 'node:stream'
import {
  CAREFUL_BUFFER_BYTES,
  CAREFUL_BYTES,
  giveOutput,
  OUTPUT_BYTES,
  PROVEN_BYTES,
  takeCareful,
  takeOutput,
} from '../output-pool.ts'
import {
  FLAG,
  FRAME,
  FRAME_HEAD_BYTES,
  MAX_FRAME_BYTES,
  writeFrameHead,
  writeUint32,
} from './frame.ts'

/** Responses fill a buffer up to here; what is behind is for control frames, which must always fit. */
const RESPONSE_LIMIT_BYTES = OUTPUT_BYTES - 4_096

/** Once control frames have filled this much of their part, no more frames are read until the client takes some. */
const CONTROL_LIMIT_BYTES = OUTPUT_BYTES - 1_024

/** What is queued beyond this may stay with us for long: the kernel will not take all of it at once. */
const LARGE_BYTES = 256 * 1024

/** The largest field block that fits into one buffer together with its frame heads. */
export const MAX_HEAD_BLOCK_BYTES: number =
  RESPONSE_LIMIT_BYTES - FRAME_HEAD_BYTES * (Math.ceil(RESPONSE_LIMIT_BYTES / MAX_FRAME_BYTES) + 1)

/**
 * Frames on their way out. They collect in one pooled buffer, and at most one write is with the socket: while it is
 * there, a slow client costs one more buffer and nothing else.
 */
export class Output {
  /** Bytes in the buffer. */
  length: number
  /** A write is with the socket. */
  writing: boolean
  #takenBytes: number
  /** Content of a large response is held back: what goes out now may stay with the socket for long. */
  #careful: boolean
  #buffer: Buffer | null
  #written: Buffer | null
  #writtenBytes: number
  readonly #socket: Duplex
  readonly #onWritten: (error?: Error | null) => void

  /** `onTaken` is called when the socket has taken a write; its buffer is free again by then. */
  constructor(socket: Duplex, onTaken: (error: Error | null) => void) {
    this.length = 0
    this.writing = false
    this.#takenBytes = 0
    this.#careful = false
    this.#writtenBytes = 0
    this.#buffer = null
    this.#written = null
    this.#socket = socket
    this.#onWritten = (error) => {
      this.writing = false
      this.#takenBytes += this.#writtenBytes
      // After an error the socket may still refer to the buffer: leave it to the collector.
      if (this.#written !== null && !error) giveOutput(this.#written)
      this.#written = null
      onTaken(error ?? null)
    }
  }

  /** Bytes that a response may still add. */
  get room(): number {
    return RESPONSE_LIMIT_BYTES - this.length
  }

  /** The same for content of a response that has `queuedBytes` to send; see `CAREFUL_BYTES`. */
  roomForContent(queuedBytes: number): number {
    if (queuedBytes <= LARGE_BYTES || this.#takenBytes >= PROVEN_BYTES) return this.room
    this.#careful = true
    return this.writing ? 0 : CAREFUL_BYTES - this.length
  }

  get controlFull(): boolean {
    return this.length > CONTROL_LIMIT_BYTES
  }

  /** The buffer, with room for `bytes` from `length` on. */
  reserve(bytes: number): Buffer {
    const buffer = (this.#buffer ??= takeOutput())
    return this.length + bytes <= buffer.length ? buffer : this.#grow(buffer, bytes)
  }

  /** Hands the buffer to the socket unless a write is there already. True when it did. */
  flush(): boolean {
    const buffer = this.#buffer
    if (this.writing || buffer === null || this.length === 0) return false
    this.writing = true
    this.#writtenBytes = this.length
    this.#written = this.#careful ? carefulCopy(buffer, this.length) : buffer
    this.#careful = false
    const bytes = this.#written.subarray(0, this.length)
    this.#buffer = null
    this.length = 0
    this.#socket.write(bytes, this.#onWritten)
    return true
  }

  /** Gives up what was not handed over. */
  discard(): void {
    if (this.#buffer !== null) giveOutput(this.#buffer)
    this.#buffer = null
    this.length = 0
  }

  /** A control frame with a payload of bytes. */
  frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    const buffer = this.reserve(FRAME_HEAD_BYTES + payload.length)
    const at = writeFrameHead(buffer, this.length, payload.length, type, flags, streamId)
    buffer.set(payload, at)
    this.length = at + payload.length
  }

  /** RST_STREAM with an error code, or WINDOW_UPDATE with an increment. */
  uint32Frame(type: number, streamId: number, value: number): void {
    const buffer = this.reserve(FRAME_HEAD_BYTES + 4)
    const at = writeFrameHead(buffer, this.length, 4, type, 0, streamId)
    this.length = writeUint32(buffer, at, value)
  }

  /** HEADERS, and CONTINUATION where one frame does not hold the block. */
  fieldBlock(streamId: number, block: Buffer, endStream: boolean): void {
    const frames = Math.max(1, Math.ceil(block.length / MAX_FRAME_BYTES))
    const buffer = this.reserve(block.length + frames * FRAME_HEAD_BYTES)
    let type: number = FRAME.headers
    let flags = endStream ? FLAG.endStream : 0
    for (let start = 0, frame = 1; frame <= frames; frame++) {
      const end = Math.min(start + MAX_FRAME_BYTES, block.length)
      if (frame === frames) flags |= FLAG.endHeaders
      const at = writeFrameHead(buffer, this.length, end - start, type, flags, streamId)
      block.copy(buffer, at, start, end)
      this.length = at + end - start
      start = end
      type = FRAME.continuation
      flags = 0
    }
  }

  /** Control frames are bounded by what is read and by the number of streams, so this stays rare and small. */
  #grow(buffer: Buffer, bytes: number): Buffer {
    const larger = Buffer.allocUnsafeSlow((this.length + bytes) * 2)
    buffer.copy(larger, 0, 0, this.length)
    giveOutput(buffer)
    this.#buffer = larger
    return larger
  }
}

/** The large buffer is worth more in the pool than with a socket that may not take it for long. */
function carefulCopy(buffer: Buffer, length: number): Buffer {
  if (length > CAREFUL_BUFFER_BYTES) return buffer
  const copy = takeCareful()
  buffer.copy(copy, 0, 0, length)
  giveOutput(buffer)
  return copy
}

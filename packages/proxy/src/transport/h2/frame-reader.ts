import { CLIENT_PREFACE, FRAME_HEAD_BYTES, MAX_FRAME_BYTES, readUint31 } from './frame.ts'

/** Takes whole frames in order. The buffer is valid during the call only. */
export interface FrameSink {
  /** False: not now. The reader keeps what it has until `resume`. */
  readonly mayReceive: boolean
  frame(
    buffer: Buffer,
    type: number,
    flags: number,
    streamId: number,
    start: number,
    end: number,
  ): void
  brokenPreface(): void
  frameTooLarge(): void
  /** The connection is over: what else was read is of no use. */
  readonly ended: boolean
}

const SMALLEST_PARTIAL_BYTES = 256

/** Cuts chunks, as the socket gives them, into frames; a frame that is cut by the end of a chunk waits for its rest. */
export class FrameReader {
  /** Frames handed on so far. */
  framesRead: number
  readonly #sink: FrameSink
  #prefaceBytes: number
  /** A frame whose end has not come; grows with what came, not with what it promises. */
  #partial: Buffer | null
  #partialBytes: number
  /** Read but not handed on, because the sink may not receive. */
  #held: Buffer | null

  constructor(sink: FrameSink) {
    this.framesRead = 0
    this.#sink = sink
    this.#prefaceBytes = 0
    this.#partial = null
    this.#partialBytes = 0
    this.#held = null
  }

  get isHolding(): boolean {
    return this.#held !== null
  }

  /** True between the first and the last octet of a frame. */
  get inFrame(): boolean {
    return this.#partialBytes > 0
  }

  /** Octets of the payload of a cut frame of this type that are here. */
  partialPayloadBytes(type: number): number {
    if (this.#partial === null || this.#partialBytes <= FRAME_HEAD_BYTES) return 0
    return this.#partial[3] === type ? this.#partialBytes - FRAME_HEAD_BYTES : 0
  }

  /** The type of the cut frame, -1 when there is none or it is not known yet. */
  get partialType(): number {
    return this.#partial !== null && this.#partialBytes > 3 ? this.#partial[3] : -1
  }

  feed(chunk: Buffer) {
    let at = 0
    if (this.#prefaceBytes < CLIENT_PREFACE.length) {
      at = this.#matchPreface(chunk)
      if (at < 0) return this.#sink.brokenPreface()
    }
    if (this.#partialBytes > 0) {
      at = this.#completePartial(chunk, at)
      if (at < 0) return
    }
    this.#readWhole(chunk, at)
  }

  resume(): void {
    const held = this.#held
    if (held === null) return
    this.#held = null
    this.feed(held)
  }

  discard(): void {
    this.#partial = null
    this.#partialBytes = 0
    this.#held = null
  }

  #readWhole(chunk: Buffer, start: number) {
    const sink = this.#sink
    let at = start
    while (chunk.length - at >= FRAME_HEAD_BYTES) {
      const length = (chunk[at] << 16) | (chunk[at + 1] << 8) | chunk[at + 2]
      if (length > MAX_FRAME_BYTES) return sink.frameTooLarge()
      const end = at + FRAME_HEAD_BYTES + length
      if (end > chunk.length) break
      if (!sink.mayReceive) {
        this.#held = chunk.subarray(at)
        return
      }
      const payload = at + FRAME_HEAD_BYTES
      sink.frame(chunk, chunk[at + 3], chunk[at + 4], readUint31(chunk, at + 5), payload, end)
      this.framesRead++
      if (sink.ended) return
      at = end
    }
    if (at < chunk.length) this.#append(chunk, at, chunk.length)
  }

  /** The offset behind the preface, or -1 when it is another protocol's. */
  #matchPreface(chunk: Buffer): number {
    const from = this.#prefaceBytes
    const length = Math.min(chunk.length, CLIENT_PREFACE.length - from)
    if (CLIENT_PREFACE.compare(chunk, 0, length, from, from + length) !== 0) return -1
    this.#prefaceBytes += length
    return length
  }

  /** Fills up the cut frame; the offset behind it, or -1 when the chunk ends before it or it cannot be handed on. */
  #completePartial(chunk: Buffer, start: number): number {
    const sink = this.#sink
    let at = this.#fill(chunk, start, FRAME_HEAD_BYTES)
    if (this.#partialBytes < FRAME_HEAD_BYTES) return -1
    // Filled above, so there is a buffer.
    const length = (this.#partial![0] << 16) | (this.#partial![1] << 8) | this.#partial![2]
    if (length > MAX_FRAME_BYTES) {
      sink.frameTooLarge()
      return -1
    }
    const end = FRAME_HEAD_BYTES + length
    at = this.#fill(chunk, at, end)
    if (this.#partialBytes < end) return -1
    if (!sink.mayReceive) {
      this.#held = chunk.subarray(at)
      return -1
    }
    const frame = this.#partial!
    this.#partial = null
    this.#partialBytes = 0
    sink.frame(frame, frame[3], frame[4], readUint31(frame, 5), FRAME_HEAD_BYTES, end)
    this.framesRead++
    return sink.ended ? -1 : at
  }

  /** Copies until the partial frame has `bytes`; the offset behind what was taken. */
  #fill(chunk: Buffer, at: number, bytes: number): number {
    const end = Math.min(chunk.length, at + Math.max(0, bytes - this.#partialBytes))
    if (end > at) this.#append(chunk, at, end)
    return end
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const bytes = this.#partialBytes + end - start
    if (this.#partial === null || this.#partial.length < bytes) {
      const larger = Buffer.allocUnsafeSlow(Math.max(bytes * 2, SMALLEST_PARTIAL_BYTES))
      this.#partial?.copy(larger, 0, 0, this.#partialBytes)
      this.#partial = larger
    }
    chunk.copy(this.#partial, this.#partialBytes, start, end)
    this.#partialBytes = bytes
  }
}

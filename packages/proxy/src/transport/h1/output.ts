import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import {
  CAREFUL_BYTES,
  giveOutput,
  OUTPUT_BYTES,
  PROVEN_BYTES,
  takeOutput,
} from '../output-pool.ts'
import { Deadline, type TimerWheel } from '../timer-wheel.ts'

/** Bodies up to this are copied behind their head and leave with it; larger ones are written by reference. */
const MAX_COPIED_BYTES = 16 * 1024
/** What waits in here, unwritten, before we ask the writer to stop. */
const MAX_WAITING_BYTES = 64 * 1024
/** One write: small enough that its end tells a slow reader from one that stopped reading. */
const PIECE_BYTES = 64 * 1024

/**
 * What a connection has to say, in order. Everything said while one incoming chunk is handled leaves in one write, and
 * one write is outstanding at a time: its end is the only sign of progress, and gives back-pressure for free.
 */
export class Output {
  /** Accepted, not yet given to the socket. */
  waitingBytes = 0
  /** Given to the socket, not yet taken by the kernel. */
  writingBytes = 0
  readonly #socket: Duplex
  readonly #deadline: Deadline
  readonly #writeTimeoutMs: number
  readonly #onProgress: () => void
  readonly #written: (error?: Error | null) => void
  readonly #flushNow: () => void
  /** Ahead of the buffer that is being filled. */
  readonly #segments: Uint8Array[] = []
  /** Pooled buffers that the outstanding write reads from, or that segments are part of. */
  readonly #lent: Buffer[] = []
  #writingLent = 0
  #buffer: Buffer | null = null
  #length = 0
  #takenBytes: number
  #flushPlanned = false
  #dead = false

  /** `onProgress` after each write; `onStall` when the peer took nothing for `writeTimeoutMs`. */
  constructor(
    socket: Duplex,
    wheel: TimerWheel,
    writeTimeoutMs: number,
    onProgress: () => void,
    onStall: () => void,
  ) {
    this.#socket = socket
    this.#takenBytes = socket instanceof TLSSocket ? 0 : PROVEN_BYTES
    this.#deadline = new Deadline(wheel, onStall)
    this.#writeTimeoutMs = writeTimeoutMs
    this.#onProgress = onProgress
    this.#written = (error) => this.#afterWrite(error)
    this.#flushNow = () => {
      this.#flushPlanned = false
      this.flush()
    }
  }

  /** True when the writer ought to wait for progress. */
  get full(): boolean {
    return this.waitingBytes >= MAX_WAITING_BYTES
  }

  get empty(): boolean {
    return this.waitingBytes + this.writingBytes === 0
  }

  /**
   * Room for `bytes` (at most `OUTPUT_BYTES`) of head that the caller fills in by itself from `offset` on and then
   * makes known through `advanceTo`.
   */
  reserve(bytes: number): Buffer {
    if (this.#buffer !== null && OUTPUT_BYTES - this.#length < bytes) this.#shelve()
    this.#buffer ??= takeOutput()
    return this.#buffer
  }

  get offset(): number {
    return this.#length
  }

  advanceTo(offset: number): void {
    this.waitingBytes += offset - this.#length
    this.#length = offset
  }

  /** Latin-1. */
  appendText(text: string): void {
    if (text.length > MAX_COPIED_BYTES) {
      this.append(Buffer.from(text, 'latin1'))
      return
    }
    const buffer = this.reserve(text.length)
    this.advanceTo(this.#length + buffer.latin1Write(text, this.#length, text.length))
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    if (bytes.length <= MAX_COPIED_BYTES) {
      this.reserve(bytes.length).set(bytes, this.#length)
      this.advanceTo(this.#length + bytes.length)
      return
    }
    this.#shelve()
    this.#segments.push(bytes)
    this.waitingBytes += bytes.length
  }

  /** At the end of this turn of the loop, so that what is said together leaves together. */
  flushSoon(): void {
    if (this.#flushPlanned) return
    this.#flushPlanned = true
    process.nextTick(this.#flushNow)
  }

  flush(): void {
    if (this.writingBytes > 0 || this.waitingBytes === 0 || this.#dead) return
    if (this.#segments.length === 0) this.#writeBuffer()
    else {
      this.#shelve()
      this.#writeSegments()
    }
    // What the kernel took at once needs no watch.
    if (this.#socket.writableLength > 0) this.#deadline.arm(this.#writeTimeoutMs)
  }

  /** The socket is gone, or about to be: nothing more is written. */
  release(): void {
    this.#dead = true
    this.#deadline.release()
    this.#segments.length = 0
    if (this.#buffer !== null) giveOutput(this.#buffer)
    this.#buffer = null
    this.#length = 0
  }

  #writeBuffer(): void {
    const buffer = this.#buffer
    if (buffer === null) return
    const length = this.#length
    this.#buffer = null
    this.#length = 0
    this.waitingBytes = 0
    this.writingBytes = length
    this.#lent.push(buffer)
    this.#writingLent = 1
    this.#socket.write(buffer.subarray(0, length), this.#written)
  }

  /** Writes whole segments up to a piece, and of a larger one a piece; the rest of at most one piece goes along. */
  #writeSegments(): void {
    const segments = this.#segments
    const all = this.waitingBytes <= 2 * PIECE_BYTES
    const pieceBytes = this.#takenBytes < PROVEN_BYTES ? CAREFUL_BYTES : PIECE_BYTES
    const batch: Uint8Array[] = []
    let bytes = 0
    let used = 0
    while (used < segments.length && (all || bytes < pieceBytes)) {
      const segment = segments[used]
      if (!all && segment.length > 2 * pieceBytes) {
        batch.push(segment.subarray(0, pieceBytes))
        segments[used] = segment.subarray(pieceBytes)
        bytes += pieceBytes
        break
      }
      batch.push(segment)
      bytes += segment.length
      used++
    }
    for (let i = 0; i < used; i++) if (this.#isLent(segments[i])) this.#writingLent++
    segments.splice(0, used)
    this.waitingBytes -= bytes
    this.writingBytes = bytes
    this.#socket.cork()
    for (let i = 0; i < batch.length - 1; i++) this.#socket.write(batch[i])
    this.#socket.write(batch[batch.length - 1], this.#written)
    this.#socket.uncork()
  }

  #isLent(segment: Uint8Array): boolean {
    const next = this.#lent[this.#writingLent]
    return next !== undefined && next.buffer === segment.buffer
  }

  /** Moves what is in the buffer behind the segments. */
  #shelve(): void {
    if (this.#buffer === null || this.#length === 0) return
    this.#segments.push(this.#buffer.subarray(0, this.#length))
    this.#lent.push(this.#buffer)
    this.#buffer = null
    this.#length = 0
  }

  #afterWrite(error: Error | null | undefined): void {
    this.#deadline.disarm()
    // After an error the kernel may still read from the buffers: they go to the garbage collector, not to the pool.
    if (error || this.#dead) return
    this.#takenBytes += this.writingBytes
    this.writingBytes = 0
    for (let i = 0; i < this.#writingLent; i++) giveOutput(this.#lent[i])
    this.#lent.splice(0, this.#writingLent)
    this.#writingLent = 0
    if (this.waitingBytes > 0) this.flush()
    else if (this.#buffer !== null) {
      giveOutput(this.#buffer)
      this.#buffer = null
    }
    this.#onProgress()
  }
}

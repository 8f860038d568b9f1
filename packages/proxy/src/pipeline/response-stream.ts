import type { Fields } from '../http/fields.ts'
import type { OriginFetch } from '../origin/origin-fetch.ts'
import type { FillInsertion } from '../storage/fill-insertion.ts'
import type { Exchange, ResponseWriter } from '../transport/exchange.ts'
import { StreamReader } from './stream-reader.ts'

/** Without a disk behind it: the slowest reader may fall this far behind before the origin has to wait for it. */
const MAX_LAG_BYTES = 256 * 1024
/** One reader alone needs no more than keeps its transport busy: it may be one of thousands. */
const MAX_LAG_ALONE_BYTES = 32 * 1024
/** With a disk behind it: held in memory for readers that keep up. */
const WINDOW_BYTES = 512 * 1024
/** The disk may fall this far behind before the origin has to wait for it. */
const MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024

/**
 * A response body under way, read by any number of exchanges. While memory stores it every byte is kept. While disk
 * stores it a window is kept, and whoever is behind that reads what is written already: a new reader begins at byte
 * zero, a slow one delays nobody. Otherwise the window between the slowest reader and the origin is all there is,
 * and the slowest reader sets the pace.
 */
export class ResponseStream {
  readonly #fetch: OriginFetch
  #store: FillInsertion | null
  #chunks: Buffer[] = []
  #heldFrom = 0
  #received = 0
  #state: 'open' | 'complete' | 'failed' = 'open'
  #trailers: Fields | null = null
  #paused = false
  readonly #readers = new Set<StreamReader>()

  /** `store`: where the body goes as well; null when it is not stored. */
  constructor(fetch: OriginFetch, store: FillInsertion | null) {
    this.#fetch = fetch
    this.#store = store
  }

  get readerCount(): number {
    return this.#readers.size
  }

  /** True while a new reader would get the body from its first byte. */
  get isWhole(): boolean {
    return this.#state !== 'failed' && (this.#heldFrom === 0 || this.hasBacking)
  }

  /** Position in the body of the first byte held in memory. */
  get heldFrom(): number {
    return this.#heldFrom
  }

  get received(): number {
    return this.#received
  }

  get state(): 'open' | 'complete' | 'failed' {
    return this.#state
  }

  get trailers(): Fields | null {
    return this.#trailers
  }

  get hasBacking(): boolean {
    return this.#store?.backing?.failed === false
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    for (const reader of this.#readers) reader.pump()
    this.trim()
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

  /** The body is not stored any more: from now on only the window is held. */
  stopKeeping(): void {
    this.#store = null
    this.trim()
  }

  /**
   * Sends bytes [first, end) of the body to an exchange that has just been answered with a streaming head; `end` may
   * be Infinity. Requires `isWhole`.
   */
  addReader(exchange: Exchange, writer: ResponseWriter, first: number, end: number): void {
    const reader = new StreamReader(this, exchange, writer, first, end)
    this.#readers.add(reader)
    reader.pump()
  }

  removeExchange(exchange: Exchange): void {
    for (const reader of this.#readers) {
      if (reader.exchange !== exchange) continue
      this.done(reader)
      this.trim()
      return
    }
  }

  /** @internal The reader has all it wanted, or never will. */
  done(reader: StreamReader): void {
    this.#readers.delete(reader)
  }

  /** @internal Bytes that are no longer in memory; as many as can be read, up to `end`. */
  readBack(first: number, end: number): Promise<Buffer> {
    const backing = this.#store?.backing
    if (!backing || backing.failed) return Promise.reject(new Error('the body is not kept'))
    return backing.read(first, Math.min(end, backing.writtenBytes))
  }

  /** @internal The held bytes from a position on, up to the end of one chunk; null when there are none yet. */
  bytesAt(position: number, hint: ChunkHint): Buffer | null {
    if (position >= this.#received) return null
    if (hint.heldFrom !== this.#heldFrom || hint.start > position) {
      hint.index = 0
      hint.start = this.#heldFrom
      hint.heldFrom = this.#heldFrom
    }
    while (position >= hint.start + this.#chunks[hint.index].length) {
      hint.start += this.#chunks[hint.index].length
      hint.index++
    }
    const chunk = this.#chunks[hint.index]
    return position === hint.start ? chunk : chunk.subarray(position - hint.start)
  }

  /** Lets go of what nobody needs from memory, and sets the origin's pace. */
  trim(): void {
    if (this.#state === 'failed' || this.#store?.holdsAll === true) return
    if (this.hasBacking) this.#trimBehindWindow()
    else this.#trimBehindReaders()
  }

  #trimBehindWindow(): void {
    const written = this.#store?.backing?.writtenBytes ?? 0
    this.#dropUntil(Math.min(written, this.#received - WINDOW_BYTES))
    this.#pace(this.#received - written, MAX_UNWRITTEN_BYTES)
  }

  #trimBehindReaders(): void {
    let slowest = this.#received
    for (const reader of this.#readers) if (reader.position < slowest) slowest = reader.position
    this.#dropUntil(slowest)
    const maxLag = this.#readers.size > 1 ? MAX_LAG_BYTES : MAX_LAG_ALONE_BYTES
    this.#pace(this.#received - slowest, maxLag)
  }

  #dropUntil(position: number): void {
    let dropped = 0
    while (
      dropped < this.#chunks.length &&
      this.#heldFrom + this.#chunks[dropped].length <= position
    ) {
      this.#heldFrom += this.#chunks[dropped].length
      dropped++
    }
    if (dropped > 0) this.#chunks.splice(0, dropped)
  }

  #pace(lagBytes: number, maxBytes: number): void {
    if (!this.#paused && lagBytes > maxBytes) {
      this.#paused = true
      this.#fetch.pause()
      if (this.hasBacking) this.#resumeWhenWritten()
    } else if (this.#paused && lagBytes <= maxBytes / 2) {
      this.#paused = false
      this.#fetch.resume()
    }
  }

  /** A paused origin brings no chunk that would look again. */
  #resumeWhenWritten(): void {
    setTimeout(() => {
      this.trim()
      if (this.#paused && this.hasBacking) this.#resumeWhenWritten()
    }, 10)
  }
}

/** Where a reader found its last chunk, so that it need not search from the start. */
export interface ChunkHint {
  index: number
  start: number
  /** `heldFrom` when it was true. */
  heldFrom: number
}

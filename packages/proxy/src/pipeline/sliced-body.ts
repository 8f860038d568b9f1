import { responseDate } from '../caching/freshness.ts'
import { isSlice } from '../caching/slices.ts'
import type { BodyRead } from '../storage/shared-tier.ts'
import type { ResponseHead } from '../transport/exchange.ts'
import type { SliceRead } from './slice-read.ts'
import type { WantedBytes } from './transaction.ts'

/** One step of a body that is put together: bytes of this proxy's own, or a stretch of one slice. */
export type BodyStep =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'slice'; readonly index: number; readonly wanted: WantedBytes }

type SliceStep = Extract<BodyStep, { kind: 'slice' }>

/** True when an answer is the slice that was asked for. */
export function answersSlice(read: SliceRead, head: ResponseHead | null, now: number): boolean {
  if (head?.status !== 206) return false
  return isSlice(read.slice, head.fields, responseDate(head.fields, now))
}

/** The representation has changed, or its slices cannot be had any more. */
export class SliceMismatchError extends Error {}

/** The origin has nothing but an error to say. */
class OriginTroubleError extends Error {}

/** Times that a slice which was cut is asked for again before more of it has come. */
const MAX_RESUMES = 1

/**
 * A body put together from slices, each asked for when it is needed: the next one when half of the one before has been
 * taken, so that whoever only looks costs one slice, and whoever goes on does not wait. A slice that is cut goes on
 * where it stopped: its validator says that the bytes are the same.
 */
export class SlicedBody implements BodyRead {
  readonly #steps: Iterator<BodyStep>
  readonly #open: (index: number, wanted: WantedBytes) => SliceRead
  readonly #now: () => number
  #current: SliceStep | null = null
  #read: SliceRead | null = null
  #leftBytes = 0
  #resumes = 0
  #next: BodyStep | null
  #ahead: SliceRead | null
  #closed = false

  /** `first`: the read of the first slice among the steps, begun and found to be right. */
  constructor(
    steps: Iterator<BodyStep>,
    first: SliceRead,
    open: (index: number, wanted: WantedBytes) => SliceRead,
    now: () => number,
  ) {
    this.#steps = steps
    this.#open = open
    this.#now = now
    this.#ahead = first
    this.#next = this.#take()
  }

  #take(): BodyStep | null {
    const step = this.#steps.next()
    return step.done === true ? null : step.value
  }

  async next(): Promise<Buffer | null> {
    for (;;) {
      if (this.#closed) return null
      if (this.#current === null) {
        const step = this.#next
        if (step === null) return null
        this.#next = this.#take()
        if (step.kind === 'bytes') return step.bytes
        this.#current = step
        this.#leftBytes = step.wanted.end - step.wanted.first
        this.#read = this.#ahead
        this.#ahead = null
      }
      const piece = await this.#pieceOf(this.#current)
      if (piece !== null) return piece
    }
  }

  /** Null when the slice is at its end, or has to be begun again. */
  async #pieceOf(step: SliceStep): Promise<Buffer | null> {
    try {
      const piece = await (await this.#reading(step)).next()
      if (piece === null && this.#leftBytes > 0) throw new Error('a slice ended early')
      if (piece === null) this.#end()
      else this.#took(piece, step)
      return piece
    } catch (error) {
      this.#read?.close()
      this.#read = null
      const isFinal = error instanceof SliceMismatchError || error instanceof OriginTroubleError
      if (this.#closed) return null
      if (isFinal || this.#resumes === MAX_RESUMES) throw error
      this.#resumes++
      return null
    }
  }

  /** The read of what is left of a slice; it has been checked when this resolves. */
  async #reading({ index, wanted }: SliceStep): Promise<SliceRead> {
    const first = wanted.end - this.#leftBytes
    this.#read ??= this.#open(index, { first, end: wanted.end })
    const head = await this.#read.head()
    if (head === null) throw new Error('a slice was cut')
    if (head.status >= 500) throw new OriginTroubleError('a slice cannot be had')
    if (!answersSlice(this.#read, head, this.#now())) throw new SliceMismatchError('not the slice')
    return this.#read
  }

  #took(piece: Buffer, { wanted }: SliceStep): void {
    this.#resumes = 0
    this.#leftBytes -= piece.length
    if (this.#leftBytes < 0) throw new SliceMismatchError('a slice is longer than it is')
    if (this.#leftBytes * 2 <= wanted.end - wanted.first) this.#readAhead()
  }

  #end(): void {
    this.#current = null
    this.#read = null
  }

  #readAhead(): void {
    if (this.#ahead !== null || this.#closed || this.#next?.kind !== 'slice') return
    this.#ahead = this.#open(this.#next.index, this.#next.wanted)
  }

  close(): void {
    this.#closed = true
    this.#read?.close()
    this.#ahead?.close()
  }
}

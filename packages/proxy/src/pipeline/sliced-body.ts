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

/**
 * A body put together from slices, each asked for when it is needed: the next one when half of the one before has been
 * taken, so that whoever only looks costs one slice, and whoever goes on does not wait.
 */
export class SlicedBody implements BodyRead {
  readonly #steps: Iterator<BodyStep>
  readonly #open: (index: number, wanted: WantedBytes) => SliceRead
  readonly #now: () => number
  #current: SliceRead | null = null
  #currentBytes = 0
  #leftBytes = 0
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
        await this.#begin(step)
        continue
      }
      const piece = await this.#current.next()
      if (piece === null) {
        if (this.#leftBytes > 0) throw new Error('a slice ended early')
        this.#current = null
        continue
      }
      this.#leftBytes -= piece.length
      if (this.#leftBytes < 0) throw new Error('a slice is longer than it may be')
      if (this.#leftBytes * 2 <= this.#currentBytes) this.#readAhead()
      return piece
    }
  }

  async #begin({ index, wanted }: SliceStep): Promise<void> {
    const read = this.#ahead ?? this.#open(index, wanted)
    this.#ahead = null
    this.#current = read
    this.#currentBytes = wanted.end - wanted.first
    this.#leftBytes = this.#currentBytes
    const head = await read.head()
    if (this.#closed) return
    if (head === null || head.status >= 500) throw new Error('a slice cannot be had')
    if (!answersSlice(read, head, this.#now())) throw new SliceMismatchError('not the slice')
  }

  #readAhead(): void {
    if (this.#ahead !== null || this.#closed || this.#next?.kind !== 'slice') return
    this.#ahead = this.#open(this.#next.index, this.#next.wanted)
  }

  close(): void {
    this.#closed = true
    this.#current?.close()
    this.#ahead?.close()
  }
}

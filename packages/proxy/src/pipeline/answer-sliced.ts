import { randomBytes } from 'node:crypto'
import { representationOf, sliceIndex, sliceRange } from '../caching/slices.ts'
import { planMultipart } from '../http/multipart-byteranges.ts'
import { ProxyError } from '../http/proxy-error.ts'
import type { ByteRange } from '../http/range.ts'
import { type StoredResponse, sliceKey } from '../storage/stored-response.ts'
import type { ResponseHead } from '../transport/exchange.ts'
import { noteHead, partialHead, respond, storedFields } from './answer.ts'
import { bodyLengthOf } from './large-stored.ts'
import { type ContentSelection, selectContent } from './select-content.ts'
import { sendBody } from './send-body.ts'
import type { SliceRead } from './slice-read.ts'
import { answersSlice, type BodyStep, SlicedBody, SliceMismatchError } from './sliced-body.ts'
import type { Transaction, WantedBytes } from './transaction.ts'

/** Looked for before an answer is called a hit: 16 GiB of 4 MiB each. What goes beyond is not checked further. */
const MAX_CHECKED_SLICES = 4096

/** What an answer from slices needs of the pipeline. */
export interface SliceHost {
  /** Epoch ms. */
  now(): number
  /** Asks for one slice: from the tiers, from the worker that fetches it, from the origin. */
  openSlice(tx: Transaction, head: StoredResponse, index: number, wanted: WantedBytes): SliceRead
  /** Whether all of these are stored where every worker finds them. */
  storesAll(keys: readonly string[]): Promise<boolean>
  /** The origin has another representation by now: nothing that is stored of this one is used again. */
  outdated(tx: Transaction, head: StoredResponse): void
  /** From the beginning, after `outdated`. */
  startAgain(tx: Transaction): void
  /** What is wanted is the whole, or slices of it cannot be had. */
  withoutSlices(tx: Transaction): void
  fail(tx: Transaction, error: ProxyError): void
  countCollapsed(): void
}

/** What of a representation whose head is stored this request gets. `now` in epoch ms. */
export function selectFromSliced(
  tx: Transaction,
  head: StoredResponse,
  now: number,
): ContentSelection {
  const { status, entityTag, lastModified, dateAt } = head
  const completeLength = bodyLengthOf(head)
  const representation = { status, completeLength, entityTag, lastModified, dateAt }
  return selectContent(tx.request.method, tx.request.fields, representation, now)
}

/** Answers with a representation of which the head is stored, and the content in slices. `now` in epoch ms. */
export function answerSliced(
  host: SliceHost,
  tx: Transaction,
  head: StoredResponse,
  now: number,
): void {
  const selection = selectFromSliced(tx, head, now)
  if (selection.kind === 'ranges') {
    const answer = new SlicedAnswer(host, tx, head, selection.ranges)
    answer
      .begin()
      .catch((cause) => host.fail(tx, new ProxyError('INTERNAL', [String(cause)], cause)))
    return
  }
  if (selection.kind === 'whole') {
    if (tx.request.method !== 'HEAD') return host.withoutSlices(tx)
    return respond(tx, head.status, storedFields(tx, head, now), null)
  }
  const { status, fields } = partialHead(selection, storedFields(tx, head, now), bodyLengthOf(head))
  respond(tx, status, fields, null)
}

class SlicedAnswer {
  readonly #host: SliceHost
  readonly #tx: Transaction
  readonly #head: StoredResponse
  readonly #ranges: readonly ByteRange[]
  readonly #sliceBytes: number

  constructor(
    host: SliceHost,
    tx: Transaction,
    head: StoredResponse,
    ranges: readonly ByteRange[],
  ) {
    this.#host = host
    this.#tx = tx
    this.#head = head
    this.#ranges = ranges
    this.#sliceBytes = head.part?.slices?.bytes ?? 1
  }

  /** Nothing goes out before the first slice has begun: until then another answer can be given. */
  async begin(): Promise<void> {
    const tx = this.#tx
    const host = this.#host
    const [first] = this.#slicesOf(this.#ranges[0])
    const read = this.#open(first.index, first.wanted)
    tx.onGone = () => read.close()
    const answer = await read.head()
    if (tx.closed) return
    tx.onGone = null
    if (answersSlice(read, answer, host.now())) {
      await this.#explain(read)
      // RFC 9111 §5.2.1.7: nothing is begun that could not be finished without the origin.
      if (!tx.closed && (tx.outcome.hit || !tx.directives.onlyIfCached)) return this.#send(read)
      read.close()
      return host.fail(tx, new ProxyError('ONLY_IF_CACHED'))
    }
    if (answer !== null && answer.status >= 500) return this.#refuse(answer, read)
    read.close()
    if (answer === null) return host.fail(tx, new ProxyError('INTERNAL', ['a slice was given up']))
    host.outdated(tx, this.#head)
    host.startAgain(tx)
  }

  #open(index: number, wanted: WantedBytes): SliceRead {
    return this.#host.openSlice(this.#tx, this.#head, index, wanted)
  }

  /** RFC 9211: a hit is what came out of the store altogether. */
  async #explain(first: SliceRead): Promise<void> {
    const { outcome } = this.#tx
    const own = first.outcome
    const isHit = own?.hit === true && outcome.forwarded === null
    outcome.hit = isHit && (await this.#host.storesAll(this.#keysAfterFirst()))
    if (outcome.hit) return
    const isFirst = outcome.forwarded === null
    outcome.forwarded ??= 'partial'
    if (own === null || own.hit) return
    // Whoever has had the head fetched reads its slice from the same fetch.
    if (isFirst && own.collapsed) {
      outcome.collapsed = true
      this.#host.countCollapsed()
    }
    outcome.forwardStatus = own.forwardStatus || outcome.forwardStatus
    outcome.stored ||= own.stored
    outcome.origin ||= own.origin
    outcome.originHeadMs ||= own.originHeadMs
  }

  /** Of the slices that follow the first, each once. */
  #keysAfterFirst(): string[] {
    const slices = this.#head.part?.slices
    if (slices === undefined) return []
    const indexes = new Set<number>()
    for (const range of this.#ranges) {
      for (const { index } of this.#slicesOf(range)) {
        indexes.add(index)
        if (indexes.size > MAX_CHECKED_SLICES) break
      }
    }
    return [...indexes].slice(1).map((index) => sliceKey(this.#head.key, slices, index))
  }

  #send(first: SliceRead): void {
    const tx = this.#tx
    const host = this.#host
    const fields = storedFields(tx, this.#head, host.now())
    const completeLength = bodyLengthOf(this.#head)
    let steps: Iterator<BodyStep>
    let head: { status: number; fields: typeof fields }
    if (this.#ranges.length === 1) {
      head = partialHead({ kind: 'ranges', ranges: this.#ranges }, fields, completeLength)
      steps = this.#slicesOf(this.#ranges[0])
    } else {
      const boundary = randomBytes(16).toString('hex')
      const type = fields.get('content-type')
      const plan = planMultipart(this.#ranges, completeLength, type, boundary)
      fields.set('content-type', plan.contentType)
      fields.set('content-length', String(plan.length))
      head = { status: 206, fields }
      steps = this.#multipart(plan.heads, plan.tail)
    }
    noteHead(tx, head.status, head.fields)
    const writer = tx.exchange.respondStreaming(head)
    const open = (index: number, wanted: WantedBytes) => this.#open(index, wanted)
    const body = new SlicedBody(steps, first, open, () => host.now())
    void sendBody(tx, writer, this.#watched(body))
  }

  /** A change in the middle shows as a cut: bytes of two representations are never in one answer. */
  #watched(body: SlicedBody) {
    return {
      next: async () => {
        try {
          return await body.next()
        } catch (error) {
          if (error instanceof SliceMismatchError) {
            this.#tx.failure = new ProxyError('ORIGIN_CHANGED')
            this.#host.outdated(this.#tx, this.#head)
          }
          throw error
        }
      },
      close: () => body.close(),
    }
  }

  *#slicesOf(range: ByteRange): Generator<Extract<BodyStep, { kind: 'slice' }>, undefined> {
    const size = this.#sliceBytes
    const completeLength = bodyLengthOf(this.#head)
    const last = sliceIndex(range.last, size)
    for (let index = sliceIndex(range.first, size); index <= last; index++) {
      const slice = sliceRange(index, size, completeLength)
      const first = Math.max(range.first, slice.first) - slice.first
      const end = Math.min(range.last, slice.last) + 1 - slice.first
      yield { kind: 'slice', index, wanted: { first, end } }
    }
  }

  *#multipart(heads: readonly Buffer[], tail: Buffer): Generator<BodyStep, undefined> {
    for (const [index, range] of this.#ranges.entries()) {
      yield { kind: 'bytes', bytes: heads[index] }
      yield* this.#slicesOf(range)
    }
    yield { kind: 'bytes', bytes: tail }
  }

  /** The origin is in trouble before anything has gone out: the client hears it as it was said. */
  #refuse({ status, fields }: ResponseHead, read: SliceRead): void {
    const tx = this.#tx
    tx.outcome.hit = false
    tx.outcome.forwarded ??= 'partial'
    tx.outcome.forwardStatus = read.outcome?.forwardStatus ?? 0
    tx.outcome.error = read.outcome?.error ?? null
    fields.set('cache-status', tx.outcome.cacheStatus())
    noteHead(tx, status, fields)
    const writer = tx.exchange.respondStreaming({ status, fields })
    void sendBody(tx, writer, read)
  }
}

/** The slice of this index as it is asked for and checked; null when its head has no strong validator. */
export function sliceRequest(head: StoredResponse, index: number) {
  const slices = head.part?.slices
  const completeLength = bodyLengthOf(head)
  const representation = representationOf(head.fields, completeLength, head.dateAt)
  if (slices === undefined || representation === null) return null
  return { slices, representation, range: sliceRange(index, slices.bytes, completeLength) }
}

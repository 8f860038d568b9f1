import { randomBytes } from 'node:crypto'
import { NO_DIRECTIVES } from '../caching/cache-control.ts'
import type { KeepDecision } from '../caching/may-store.ts'
import {
  AUTOMATIC_MIN_COMPLETE_BYTES,
  AUTOMATIC_SLICE_BYTES,
  isSameRepresentation,
  representationOf,
  type SliceRequest,
  type Slicing,
  sliceIndex,
} from '../caching/slices.ts'
import type { Fields } from '../http/fields.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type { MemoryTier } from '../storage/memory-tier.ts'
import {
  isSameSlot,
  isSliced,
  type StoredMetadata,
  StoredResponse,
  sliceKey,
} from '../storage/stored-response.ts'
import type { TieredStore } from '../storage/tiered-store.ts'
import { type SliceHost, selectFromSliced, sliceRequest } from './answer-sliced.ts'
import { type Found, findStored } from './find-stored.ts'
import { freshenedByHead } from './judge-response.ts'
import { bodyLengthOf, type Reusable } from './large-stored.ts'
import type { CallSlices, OriginCall } from './origin-call.ts'
import { SliceRead } from './slice-read.ts'
import { SliceSweeper } from './slice-sweeper.ts'
import type { Transaction, WantedBytes } from './transaction.ts'
import { UncacheableKeys } from './uncacheable-keys.ts'

/** What slices need of the pipeline. */
interface SlicesHost {
  now(): number
  openSlice(read: SliceRead): void
  freshen(stored: Reusable, metadata: StoredMetadata, keep: KeepDecision): Reusable
  forgetKey(key: string): void
  wasForgotten(key: string): boolean
  again(tx: Transaction): void
  fail(tx: Transaction, error: ProxyError): void
  countCollapsed(): void
}

/** Times that a request begins anew because slices of two representations came. */
const MAX_FAILURES = 2

const NO_BYTES = Buffer.alloc(0)

/** Everything about slices that is not one answer: which ranges get them, the heads in front of them, their end. */
export class Slices implements SliceHost, CallSlices {
  readonly #host: SlicesHost
  readonly #tier: MemoryTier
  readonly #shared: TieredStore | null
  readonly #sweeper: SliceSweeper
  /** Keys whose origin gave no slice, or of something that needs none. */
  readonly #unsliceable = new UncacheableKeys()

  constructor(host: SlicesHost, tier: MemoryTier, shared: TieredStore | null) {
    this.#host = host
    this.#tier = tier
    this.#shared = shared
    this.#sweeper = new SliceSweeper(tier, shared)
  }

  now(): number {
    return this.#host.now()
  }

  /** What a sliced head stands for when the request can be answered from it, unless the whole is there and newer. */
  choose(tx: Transaction, found: Found, now: number): Found {
    const { sliced, whole } = found
    if (sliced === null || tx.sliceFailures > MAX_FAILURES) return found
    if (whole !== null && whole.responseAt >= sliced.responseAt) return found
    if (tx.request.method === 'GET') {
      if (!tx.request.fields.has('range')) return found
      if (selectFromSliced(tx, sliced, now).kind === 'whole') return found
    }
    return { ...found, whole: sliced }
  }

  /** How ranges of this key are sliced when its origin is asked; null when they are not. */
  slicing(tx: Transaction, { whole }: Found): Slicing | null {
    const rule = tx.rule?.cache.slice ?? 'off'
    if (rule === 'off' || tx.sliceFailures > MAX_FAILURES) return null
    if (this.#unsliceable.has(tx.key, this.now())) return null
    const configured = rule === 'automatic' ? AUTOMATIC_SLICE_BYTES : rule
    // What has slices already goes on with their size.
    const bytes = whole?.part?.slices?.bytes ?? configured
    if (bytes > this.#tier.maxObjectBytes && this.#shared?.takesEverything !== true) return null
    const minCompleteBytes = rule === 'automatic' ? AUTOMATIC_MIN_COMPLETE_BYTES : 0
    return { bytes, minCompleteBytes, generation: randomBytes(9).toString('base64url') }
  }

  unsliceable({ asked }: OriginCall): void {
    this.#unsliceable.add(asked.key, this.now())
  }

  refused({ leader }: OriginCall): void {
    this.#host.forgetKey(leader.headKey)
  }

  headFor({ asked }: OriginCall): StoredResponse | null {
    const chain = this.#tier.lookUp(asked.key)
    return findStored(chain, asked.keyExtra, asked.requestFields).sliced
  }

  /** The request's key becomes that of the slice; what the client demands of age was settled with the head. */
  isFor(tx: Transaction, slice: SliceRequest): void {
    const { noStore, onlyIfCached } = tx.directives
    tx.directives = { ...NO_DIRECTIVES, noStore, onlyIfCached }
    tx.headKey = tx.key
    tx.key = sliceKey(tx.key, slice.slices, sliceIndex(slice.range.first, slice.slices.bytes))
  }

  storeHead(metadata: StoredMetadata): StoredResponse {
    const head = new StoredResponse(metadata, NO_BYTES)
    const before = this.#headsOf(metadata.key).find((one) => isSameSlot(one, metadata))
    if (before?.part?.slices?.generation !== metadata.part?.slices?.generation) {
      if (before !== undefined) this.#sweeper.add(before)
    }
    this.#tier.put(head)
    this.#shared?.insert(metadata, 0)?.commit()
    return head
  }

  /** RFC 9110 §15.3.7.3: the newest part brings the newest fields; it shows that the representation is current. */
  came({ asked, leader }: OriginCall, fields: Fields): void {
    const { slice } = asked
    const head = this.#headOf(leader.headKey, slice?.slices.generation)
    if (head === null) return
    const { requestFields, rule, requestAt } = asked
    const metadata = freshenedByHead(head, fields, requestFields, rule, requestAt, this.now())
    if (metadata.ageBaseAt > head.ageBaseAt) this.#host.freshen(head, metadata, 'update')
  }

  /** The key is about to be removed: without its heads the slices are never found again, and take up room. */
  removeKey(key: string): void {
    for (const head of this.#headsOf(key)) this.#sweeper.add(head)
  }

  #headsOf(key: string): StoredResponse[] {
    const heads: StoredResponse[] = []
    for (let stored = this.#tier.lookUp(key); stored !== null; stored = stored.next) {
      if (isSliced(stored)) heads.push(stored)
    }
    return heads
  }

  #headOf(key: string, generation: string | undefined): StoredResponse | null {
    return this.#headsOf(key).find((head) => head.part?.slices?.generation === generation) ?? null
  }

  // What an answer asks for (SliceHost)

  openSlice(tx: Transaction, head: StoredResponse, index: number, wanted: WantedBytes): SliceRead {
    const slice = sliceRequest(head, index)
    if (slice === null) throw new Error('a head in front of slices without a strong validator')
    const read = new SliceRead(tx.exchange, tx.request, slice, wanted)
    this.#host.openSlice(read)
    return read
  }

  async storesAll(keys: readonly string[]): Promise<boolean> {
    const elsewhere = keys.filter((key) => this.#tier.lookUp(key) === null)
    if (elsewhere.length === 0) return true
    return this.#shared === null ? false : this.#shared.holdsAll(elsewhere)
  }

  outdated(tx: Transaction, head: StoredResponse): void {
    const { key } = head
    const generation = head.part?.slices?.generation
    if (this.#headOf(key, generation) === null) {
      // Others have seen it before, and may have stored what is new since then.
      if (this.#tier.lookUp(key) !== null || this.#host.wasForgotten(key)) return
    }
    this.#host.forgetKey(tx.key)
  }

  startAgain(tx: Transaction): void {
    tx.sliceFailures++
    tx.sought = false
    tx.large = null
    tx.outcome.hit = false
    this.#host.again(tx)
  }

  withoutSlices(tx: Transaction): void {
    tx.sliceFailures = MAX_FAILURES + 1
    tx.outcome.hit = false
    this.#host.again(tx)
  }

  countCollapsed(): void {
    this.#host.countCollapsed()
  }

  fail(tx: Transaction, error: ProxyError): void {
    tx.outcome.hit = false
    this.#host.fail(tx, error)
  }
}

/** A part of the same representation as slices are. */
export function isOfSliced(part: StoredResponse, sliced: StoredResponse): boolean {
  const completeLength = part.part?.completeLength ?? 0
  const ofPart = representationOf(part.fields, completeLength, part.dateAt)
  const ofSlices = representationOf(sliced.fields, bodyLengthOf(sliced), sliced.dateAt)
  return ofPart !== null && ofSlices !== null && isSameRepresentation(ofPart, ofSlices)
}

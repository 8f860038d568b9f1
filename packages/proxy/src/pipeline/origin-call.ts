import { decideReuse, mayUseStaleOnError, type OriginTrouble } from '../caching/decide-reuse.ts'
import type { KeepDecision } from '../caching/may-store.ts'
import { sameVariant, type VariantKey, variantKey } from '../caching/vary.ts'
import { parseContentLength } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type {
  OriginFetch,
  OriginHandler,
  OriginRequest,
  ResponseFraming,
} from '../origin/origin-fetch.ts'
import { addPeerFile, addPeerMetadata, readPeerAnswer } from '../peers/peer-request.ts'
import type { FillInsertion } from '../storage/fill-insertion.ts'
import { isSliced, type StoredMetadata, type StoredResponse } from '../storage/stored-response.ts'
import { answerStreaming } from './answer.ts'
import {
  clientSafe,
  forFollowers,
  interimFields,
  judgeResponse,
  type Verdict,
} from './judge-response.ts'
import { asWhole, slicedHead } from './judge-slices.ts'
import type { Reusable } from './large-stored.ts'
import type { FetchPlan } from './plan-fetch.ts'
import { type AskedFor, expectedBytes } from './response-metadata.ts'
import { ResponseStream } from './response-stream.ts'
import type { Transaction } from './transaction.ts'

/** What an origin call has to say about slices. */
export interface CallSlices {
  /** The head in front of slices that memory has for the call's request by now. */
  headFor(call: OriginCall): StoredResponse | null
  /** A head is stored, in front of slices; returns it. */
  storeHead(metadata: StoredMetadata): StoredResponse
  /** A slice has come: its head is known to be current. */
  came(call: OriginCall, fields: Fields): void
  /** What is stored in slices may not be kept any longer. */
  refused(call: OriginCall): void
  /** Ranges of this key are asked for as they come, for a while. */
  unsliceable(call: OriginCall): void
}

/** What an origin call needs of the pipeline. */
export interface CallHost {
  /** Into every tier that is to have it; null when none takes it. */
  insert(
    call: OriginCall,
    metadata: StoredMetadata,
    expectedBytes: number | undefined,
  ): FillInsertion | null
  /** The stored response with new metadata and fields: kept so in every tier, or not, as the update allows. */
  freshen(stored: Reusable, metadata: StoredMetadata, keep: KeepDecision): Reusable
  /** Epoch ms. */
  now(): number
  /** Number of the last purge in force. */
  readonly purgeNumber: number
  /** A purge has come since the fetch of this response began, and covers it. */
  isPurged(metadata: StoredMetadata): boolean
  /** The same of a soft purge, too. */
  isOvertaken(metadata: StoredMetadata): boolean
  /** The same while nothing is known of it but the key: it may be covered. */
  mayBeOvertaken(key: string, number: number): boolean
  /** The request to send: with the stored response's validators, or without any condition. */
  originRequest(call: OriginCall): OriginRequest
  /** Removes one stored response from every tier. */
  forget(stored: Reusable): void
  /** Asks the worker that owns the key, or the origin. */
  startCall(call: OriginCall): OriginFetch
  /** The answer is not for this one: it looks again, and goes alone if need be. */
  release(tx: Transaction): void
  /** Answers from the stored response, fresh again or stale by permission. */
  useStored(tx: Transaction, stored: Reusable): void
  fail(tx: Transaction, error: ProxyError): void
  /** The call takes no more followers. */
  finished(call: OriginCall): void
  /** The response could not be stored: requests for the key need not wait for each other for a while. */
  uncacheable(call: OriginCall): void
  readonly slices: CallSlices
  /** From now on the call is the one for this slice: `key`. */
  becomesSlice(call: OriginCall, key: string): void
  /** The origin ignores Range: whoever wants one of this key reads along. */
  becomesWhole(call: OriginCall): void
  /** It looks again, as if it had just come. */
  again(tx: Transaction): void
  /** The slice that it asked for is not to be had. */
  mismatch(tx: Transaction): void
  countOrigin(tx: Transaction, outcome: string): void
  countOriginBytes(bytes: number): void
}

/** Statuses for which stale-if-error speaks (RFC 5861 §4). */
const ERROR_STATUSES: ReadonlySet<number> = new Set([500, 502, 503, 504])

/** A disk that takes longer to make a response known is not waited for. */
const MAX_COMMIT_MS = 5_000

/** Refusals that say nothing about the next request for the same key. */
const ABOUT_THE_CLIENT: ReadonlySet<unknown> = new Set([
  'request-no-store',
  'authorization',
  'purged',
])

/** Refusals of what the owner has all the same: a large body, a multipart one put together for this client. */
const KEPT_BY_OWNER: ReadonlySet<unknown> = new Set(['too-large', 'partial-without-validator'])

/**
 * One request to the origin whose answer may be stored, and the exchanges that wait for it ("collapsed requests",
 * RFC 9111 §4). It belongs to no client: whoever leaves, it goes on for the others and for the store.
 */
export class OriginCall implements OriginHandler {
  callKey: string
  asked: AskedFor
  /** The exchange whose request is sent. Its fields decide what variant the answer is. */
  readonly leader: Transaction
  /** A stored response that may have to do if the origin fails. */
  readonly fallback: Reusable | null
  readonly plan: FetchPlan
  unconditional = false
  /** Slot of the worker that is asked in place of the origin; null: the origin itself. */
  owner: number | null = null
  /** Where the owner stores what it sends, should it become too large for memory. */
  ownersFile: number | undefined
  readonly #host: CallHost
  #waiting: Transaction[] = []
  #fetch: OriginFetch | null = null
  #stream: ResponseStream | null = null
  #insertion: FillInsertion | null = null
  #metadata: StoredMetadata | null = null
  /** As the answer is treated: a 206 with all there is counts as 200. */
  #status = 0
  #receivedStatus = 0
  #completeLength: number | undefined
  #reelected = false
  /** The owner can give its answer to everyone who asks. */
  #ownerStores = false
  /** The owner tells of an origin that cannot be had: so it is for everyone who waits. */
  #ownersFailure = false
  #mayStore = true
  /** Someone has what was fetched after a purge that has overtaken this. */
  #isSuperseded = false
  /** What comes is one slice, for whoever has found its head. */
  #isSlice = false
  #ended = false

  constructor(
    host: CallHost,
    callKey: string,
    asked: AskedFor,
    leader: Transaction,
    fallback: Reusable | null,
    plan: FetchPlan,
  ) {
    this.#host = host
    this.callKey = callKey
    this.asked = asked
    this.leader = leader
    this.fallback = fallback
    this.plan = plan
    this.#isSlice = Boolean(asked.slice)
  }

  /** Its call key while a 200 comes in answer to a range. */
  get keyWhenWhole(): string {
    return `${this.callKey.slice(0, this.callKey.lastIndexOf('\n'))}\nin place of ranges`
  }

  start(): void {
    this.#fetch = this.#host.startCall(this)
  }

  /** False when the answer has gone too far to be read from its first byte, or is not for this request. */
  join(tx: Transaction): boolean {
    if (this.#ended) return false
    if (this.#isOvertaken()) {
      this.#isSuperseded = true
      return false
    }
    if (this.#stream === null) {
      this.#wait(tx)
      return true
    }
    if (this.#insertion === null || !this.#stream.isWhole || !this.#isFor(tx)) return false
    if (this.#stream.state === 'complete' && !this.#mayReuse(tx)) return false
    if (this.plan.completesPart && this.#status === 206) {
      this.#wait(tx)
      return true
    }
    this.#explain(tx, this.#metadata, this.#host.now())
    this.#answer(
      tx,
      this.#metadata?.fields.without((name) => name === 'age'),
    )
    return true
  }

  /** Whoever comes after a purge, even a soft one, gets what was fetched after it. */
  #isOvertaken(): boolean {
    const { key, purgeSequence } = this.asked
    return this.#metadata === null
      ? this.#host.mayBeOvertaken(key, purgeSequence)
      : this.#host.isOvertaken(this.#metadata)
  }

  /** Whoever reads along learns the same as whoever asked; another worker goes by it. */
  #explain(tx: Transaction, metadata: StoredMetadata | null, now: number): void {
    if (metadata === null) return
    tx.outcome.stored = true
    if (this.owner === null) tx.outcome.forwardStatus = this.#receivedStatus
    tx.outcome.ttlSeconds = Math.ceil((metadata.freshUntilAt - now) / 1000)
  }

  #wait(tx: Transaction): void {
    this.#waiting.push(tx)
    tx.onGone = () => {
      const at = this.#waiting.indexOf(tx)
      if (at !== -1) this.#waiting.splice(at, 1)
    }
  }

  /** Another machine has fetched it: those who wait look again. */
  giveBack(): void {
    this.#end()
    for (const tx of this.#takeWaiting()) {
      tx.leaseWaits++
      tx.sought = false
      this.#host.again(tx)
    }
  }

  /** The key was invalidated or purged meanwhile: those who wait get the answer, the store does not. */
  invalidate(): void {
    this.#insertion?.abandon()
    this.#insertion = null
    this.#mayStore = false
    this.#end()
    this.#stream?.stopKeeping()
  }

  onInterim(status: number, fields: Fields): void {
    for (const tx of this.#waiting) tx.exchange.inform(status, interimFields(fields))
  }

  onHead(
    status: number,
    received: Fields,
    originName: string,
    framing: ResponseFraming = 'certain',
  ): void {
    const forSlices = this.#takeForSlices()
    this.#headCame(status, received, originName, framing)
    for (const tx of forSlices) this.#host.again(tx)
  }

  /** Those who wait for the slice that this call asks for, without being the one for it: it is, or it is not, by now. */
  #takeForSlices(): Transaction[] {
    if (this.asked.slice) return []
    const taken = this.#waiting.filter((tx) => tx.slice !== null && !tx.closed)
    this.#waiting = this.#waiting.filter((tx) => tx.slice === null)
    return taken
  }

  #headCame(status: number, received: Fields, originName: string, framing: ResponseFraming): void {
    const now = this.#host.now()
    if (this.owner === null) {
      this.#host.countOrigin(this.leader, `${Math.floor(status / 100)}xx`)
    }
    for (const tx of this.#waiting) {
      if (this.owner === null) tx.outcome.origin = originName
      tx.outcome.originHeadMs = performance.now() - tx.exchange.startedAt
    }
    const whole = this.asked.probe && status === 206 ? asWhole(received) : null
    this.#receivedStatus = status
    this.#status = whole === null ? status : 200
    if (this.asked.slicing) this.asked = { ...this.asked, known: this.#host.slices.headFor(this) }
    if (ERROR_STATUSES.has(status) && this.#useStale('error-status')) {
      this.#abandonFetch()
      return
    }
    const verdict =
      this.owner === null
        ? judgeResponse(this.asked, this.#status, whole ?? received, originName, now)
        : this.#judgePeer(status, received, originName, now)
    if (this.#asksForLess(verdict)) return this.#askAgain()
    if (framing === 'until-close' && verdict.kind === 'sliced') return this.#unsliceable()
    if (verdict.kind === 'store' && framing === 'until-close') {
      // RFC 9112 §9.8: what may have been cut without a sign is passed on, and not kept.
      return this.#pass(verdict.clientFields, false, { reason: 'end-unverified' })
    }
    this.#apply(verdict, now)
  }

  /** The owner's answer is this cache's own: its Cache-Status becomes ours, its age is exact. */
  #judgePeer(status: number, received: Fields, originName: string, now: number): Verdict {
    const { fields, cacheStatus, ageBaseAt, purgeNumber, tags, file } = readPeerAnswer(received)
    this.ownersFile = file
    for (const tx of this.#waiting) tx.outcome.tookOver(cacheStatus)
    this.#ownerStores = /; (?:stored|hit)(?:;|$)/.test(cacheStatus)
    this.#ownersFailure = /^Larder; error=/.test(received.get('proxy-status') ?? '')
    // Its store may hold what was fetched long before this was asked.
    const purgeSequence = Math.min(purgeNumber, this.asked.purgeSequence)
    const asked = { ...this.asked, purgeSequence, peerAgeBaseAt: ageBaseAt, peerTags: tags }
    return judgeResponse(asked, status, fields, originName, now)
  }

  /** The rest of a stored part cannot be had: a range that no client asked for must not show in the answer. */
  #asksForLess(verdict: Verdict): boolean {
    if (!this.plan.completesPart || this.unconditional) return false
    return this.#status === 416 || (this.#status === 206 && verdict.kind !== 'store')
  }

  #apply(verdict: Verdict, now: number): void {
    switch (verdict.kind) {
      case 'freshened':
        return this.#freshened(verdict.metadata, verdict.keep)
      case 'ask-again':
        return this.#askAgain()
      case 'invalid':
        this.#abandonFetch()
        return this.#failed(verdict.error)
      case 'sliced':
        return this.#sliced(verdict.head, verdict.slice, now)
      case 'unsliceable':
        return this.#unsliceable()
      case 'mismatch':
        return this.#mismatch()
      case 'store':
        this.#learn(verdict.clientFields, now)
        return this.#store(verdict.metadata, verdict.clientFields, now)
      case 'pass':
        this.#learn(verdict.clientFields, now)
        if (
          this.asked.slice &&
          !ABOUT_THE_CLIENT.has(verdict.reason) &&
          verdict.reason !== 'status'
        ) {
          this.#host.slices.refused(this)
        }
        return this.#pass(
          verdict.clientFields,
          this.#ownersFailure || (ERROR_STATUSES.has(this.#status) && verdict.reason === 'status'),
          verdict,
        )
    }
  }

  /** From what an origin says beside the answer to the client's own range, or to one slice. */
  #learn(fields: Fields, now: number): void {
    const { slicing, probe, slice } = this.asked
    if (!this.#mayStore || this.owner !== null || this.#status !== 206) return
    if (slice) return this.#host.slices.came(this, fields)
    if (!slicing || probe) return
    const head = slicedHead(this.asked, slicing, fields, now)
    if (head !== null && !this.#isKnown(head)) this.#host.slices.storeHead(head)
  }

  /** Whoever waits gets what it wants in slices, of which this is the first. */
  #sliced(headMetadata: StoredMetadata, slice: StoredMetadata, now: number): void {
    if (this.#host.isPurged(headMetadata)) {
      // Its slices would be fetched after the purge, and this one before.
      this.#abandonFetch()
      for (const tx of this.#takeWaiting()) this.#host.again(tx)
      return
    }
    const insertion = this.#mayStore ? this.#host.insert(this, slice, expectedBytes(slice)) : null
    if (insertion === null) return this.#unsliceable()
    const { known } = this.asked
    const isKnown = known && this.#isKnown(headMetadata)
    const head = isKnown ? known : this.#host.slices.storeHead(headMetadata)
    this.#metadata = slice
    this.#insertion = insertion
    this.#isSlice = true
    this.#stream = new ResponseStream(this.#requireFetch(), insertion)
    this.#host.becomesSlice(this, slice.key)
    for (const tx of this.#takeWaiting()) {
      if (tx !== this.leader && !isOfVariant(tx, head.variant, head.fields)) {
        this.#host.release(tx)
        continue
      }
      this.#explain(tx, headMetadata, now)
      this.#host.useStored(tx, head)
    }
  }

  #isKnown({ part }: StoredMetadata): boolean {
    return this.asked.known?.part?.slices?.generation === part?.slices?.generation
  }

  #unsliceable(): void {
    this.#abandonFetch()
    this.#host.slices.unsliceable(this)
    for (const tx of this.#takeWaiting()) this.#host.again(tx)
  }

  #mismatch(): void {
    this.#abandonFetch()
    for (const tx of this.#takeWaiting()) this.#host.mismatch(tx)
  }

  #freshened(metadata: StoredMetadata, keep: KeepDecision): void {
    const stored = this.asked.validating ?? raise()
    // A 304 must not bring back what was invalidated while it was asked for.
    if (!this.#mayStore || this.#host.isPurged(metadata)) return this.#askAgain()
    const fresh = this.#host.freshen(stored, metadata, keep)
    this.#end()
    for (const tx of this.#takeWaiting()) {
      if (keep !== 'update' && tx !== this.leader) {
        this.#host.release(tx)
        continue
      }
      if (this.owner === null) tx.outcome.forwardStatus = 304
      this.#host.useStored(tx, fresh)
    }
  }

  #askAgain(): void {
    const { validating } = this.asked
    if (validating !== null && isSliced(validating)) {
      // Without its range the request would be for all of something large.
      this.#abandonFetch()
      this.#host.forget(validating)
      for (const tx of this.#takeWaiting()) this.#host.again(tx)
      return
    }
    this.#fetch?.abort()
    this.unconditional = true
    const purgeSequence = this.#host.purgeNumber
    this.asked = { ...this.asked, validating: null, ranged: false, purgeSequence }
    if (this.#status === 304) {
      for (const tx of this.#waiting) tx.outcome.detail = 'not-modified-mismatch'
    }
    this.start()
  }

  #store(metadata: StoredMetadata, clientFields: Fields, now: number): void {
    const length = metadata.fields.get('content-length')
    this.#completeLength = length === undefined ? undefined : parseContentLength(length)
    // What was under way when the purge came is for those who waited already.
    if (this.#host.isPurged(metadata)) this.#mayStore = false
    const insertion = this.#mayStore
      ? this.#host.insert(this, metadata, expectedBytes(metadata))
      : null
    if (insertion === null) {
      // Whoever waits already may read along: the answer is theirs by every rule, the store only lacks the room.
      const reason = this.#mayStore ? 'too-large' : 'purged'
      // From the owner each can have it by itself: nobody need go at the pace of another.
      return this.#pass(clientFields, this.#mayStore && !this.#ownerStores, { reason })
    }
    this.#metadata = metadata
    this.#insertion = insertion
    this.#stream = new ResponseStream(this.#requireFetch(), insertion)
    if (this.plan.range !== undefined && this.#receivedStatus === 200) this.#host.becomesWhole(this)
    if (this.plan.completesPart && this.#status === 206) return
    for (const tx of this.#takeWaiting()) {
      if (tx !== this.leader && !this.#isFor(tx)) {
        this.#host.release(tx)
        continue
      }
      this.#explain(tx, metadata, now)
      this.#answer(tx, tx === this.leader ? clientFields : undefined)
    }
  }

  /**
   * The answer is not stored. `shareable`: those who wait for it may have it all the same. So it is with a server error,
   * too: each asking again by itself would be a stampede on an origin in trouble.
   */
  #pass(
    clientFields: Fields,
    shareable: boolean,
    { reason }: { readonly reason: Transaction['outcome']['detail'] },
  ): void {
    const shared = shareable && !clientFields.has('set-cookie')
    const ownersOwn = this.#ownerStores && KEPT_BY_OWNER.has(reason)
    const lasting = reason !== 'status' && !ABOUT_THE_CLIENT.has(reason)
    if (lasting && !ownersOwn && !this.#ownersFailure) {
      this.#host.uncacheable(this)
      // RFC 9111 §4.3.3: a full answer says that the one which was to be validated is no longer current.
      if (this.#status === 200 && this.asked.validating !== null) {
        this.#host.forget(this.asked.validating)
      }
    }
    this.#end()
    const length = clientFields.get('content-length')
    this.#completeLength = length === undefined ? undefined : parseContentLength(length)
    const stream = new ResponseStream(this.#requireFetch(), null)
    this.#stream = stream
    const variant = variantKey(clientFields.get('vary'), this.asked.requestFields)
    const others: Transaction[] = []
    for (const tx of this.#takeWaiting()) {
      if (tx !== this.leader && !(shared && isOfVariant(tx, variant, clientFields))) {
        others.push(tx)
        continue
      }
      tx.outcome.detail ??= reason
      tx.outcome.forwardStatus = this.#receivedStatus
      const own = tx === this.leader ? clientFields : forFollowers(clientFields, this.asked.rule)
      this.#answer(tx, own.clone())
    }
    for (const tx of others) {
      tx.alone = ownersOwn
      this.#host.release(tx)
    }
    // An answer without content ends by itself, and leaves its connection fit for the next request.
    if (stream.readerCount === 0 && this.#status !== 204) this.#abandonFetch()
  }

  #answer(tx: Transaction, fields: Fields | undefined): void {
    const stream = this.#stream
    if (stream === null || tx.closed) return
    const all = fields ?? this.#metadata?.fields ?? raise()
    const own = tx.fromPeer ? all.clone() : clientSafe(all, this.asked.rule)
    if (tx.fromPeer && this.#metadata !== null) {
      addPeerMetadata(own, this.#metadata)
      addPeerFile(own, this.#insertion?.file)
    }
    // A part goes out as the origin sent it; only what is whole can be cut (RFC 9110 §14.2).
    answerStreaming(tx, this.#status, own, this.#completeLength, stream, this.#host.now())
    tx.onGone = () => {
      stream.removeExchange(tx.exchange)
      if (stream.readerCount === 0 && !this.#insertion?.keeps) this.#abandonFetch()
    }
  }

  onChunk(chunk: Buffer): void {
    if (this.owner === null) this.#host.countOriginBytes(chunk.length)
    if (this.#insertion !== null && !this.#insertion.write(chunk)) {
      this.#insertion = null
      this.#end()
      this.#host.uncacheable(this)
      for (const tx of this.#takeWaiting()) this.#host.release(tx)
      this.#stream?.stopKeeping()
      if (this.#stream?.readerCount === 0) return this.#abandonFetch()
    }
    this.#stream?.push(chunk)
  }

  onEnd(trailers: Fields | null): void {
    const insertion = this.#insertion
    // Nothing would be wrong with it in the store, where its number gives it away; but it would be in the way.
    const isNeeded = insertion?.backing != null && (this.#stream?.readerCount ?? 0) > 0
    const isOld =
      this.#isSuperseded || (this.#metadata !== null && this.#host.isPurged(this.#metadata))
    if (!isNeeded && isOld) insertion?.abandon()
    insertion?.commit()
    this.#stream?.finish(trailers)
    const committed = insertion?.committed ?? null
    if (committed === null) return this.#settled()
    // Until a look-up can find it, this call answers those who come: else each would be one more request to the origin.
    const tooLong = setTimeout(() => this.#settled(), MAX_COMMIT_MS)
    void committed.then(() => {
      clearTimeout(tooLong)
      this.#settled()
    })
  }

  /** It is stored, or will not be. */
  #settled(): void {
    this.#insertion = null
    this.#end()
    for (const tx of this.#takeWaiting()) this.#host.release(tx)
  }

  onError(error: ProxyError): void {
    this.#insertion?.abandon()
    this.#insertion = null
    if (this.#stream !== null) {
      this.#end()
      this.#stream.fail()
      for (const tx of this.#takeWaiting()) this.#host.fail(tx, error)
      return
    }
    if (this.owner === null) this.#host.countOrigin(this.leader, error.code)
    const forSlices = this.#takeForSlices()
    if (!this.#useStale('unreachable')) this.#failed(error)
    for (const tx of forSlices) this.#host.again(tx)
  }

  /** Before a head. Those who wait get one more try among them, unless the failure has cost them a time-out already. */
  #failed(error: ProxyError): void {
    const leaderOnly = this.#waiting.length <= 1
    if (error.retriable && error.status !== 504 && !leaderOnly && !this.#reelected) {
      this.#reelected = true
      return this.start()
    }
    this.#end()
    for (const tx of this.#takeWaiting()) this.#host.fail(tx, error)
  }

  /** Answers those who may have the stale response; true when nobody is left who needs the origin's own answer. */
  #useStale(trouble: OriginTrouble): boolean {
    const stored = this.fallback
    if (stored === null || this.#host.isPurged(stored)) return false
    const now = this.#host.now()
    const waiting = this.#takeWaiting()
    for (const tx of waiting) {
      if (!mayUseStaleOnError(stored, tx.directives, trouble, now)) {
        this.#wait(tx)
        continue
      }
      tx.outcome.detail = 'stale-if-error'
      tx.outcome.forwardStatus = this.#receivedStatus
      this.#host.useStored(tx, stored)
    }
    if (this.#waiting.length > 0) return false
    this.#end()
    return true
  }

  /** Once it is complete it is a stored response like any other (RFC 9111 §4). */
  #mayReuse(tx: Transaction): boolean {
    const metadata = this.#metadata
    if (metadata === null) return false
    // Whether it may be used was decided when its head was found.
    if (this.#isSlice) return true
    return decideReuse(metadata, tx.directives, this.#host.now()).kind === 'fresh'
  }

  #isFor(tx: Transaction): boolean {
    const metadata = this.#metadata
    if (metadata !== null && this.#isSlice) return true
    return metadata !== null && isOfVariant(tx, metadata.variant, metadata.fields)
  }

  #takeWaiting(): Transaction[] {
    const taken = this.#waiting.filter((tx) => !tx.closed)
    this.#waiting = []
    for (const tx of taken) tx.onGone = null
    return taken
  }

  #requireFetch(): OriginFetch {
    return this.#fetch ?? raise()
  }

  #abandonFetch(): void {
    this.#fetch?.abort()
    this.#end()
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#host.finished(this)
  }
}

function isOfVariant(tx: Transaction, variant: VariantKey, response: Fields): boolean {
  return sameVariant(variant, variantKey(response.get('vary'), tx.request.fields))
}

function raise(): never {
  throw new Error('an origin call was used out of order')
}

import type { BlockList } from 'node:net'
import type { PurgeMessage } from '@larder/purge-bus'
import { parseCacheControl } from '../caching/cache-control.ts'
import { hasCredentials } from '../caching/cache-rule.ts'
import { decideReuse, mayUseStaleOnError, type OriginTrouble } from '../caching/decide-reuse.ts'
import type { KeepDecision } from '../caching/may-store.ts'
import { invalidatedGroups } from '../caching/response-tags.ts'
import {
  isSlice,
  type SliceRequest,
  type Slicing,
  sliceIndex,
  sliceRange,
} from '../caching/slices.ts'
import { variantKey } from '../caching/vary.ts'
import type { Clock } from '../http/clock.ts'
import { Fields } from '../http/fields.ts'
import { ProxyError } from '../http/proxy-error.ts'
import { parseRange } from '../http/range.ts'
import type {
  OriginFetch,
  OriginGroup,
  OriginHandler,
  OriginRequest,
} from '../origin/origin-fetch.ts'
import { peerFields } from '../peers/peer-request.ts'
import type { Peers } from '../peers/peers.ts'
import { type PurgeAnswer, purgeOf, purgeResponse } from '../purge/purge-request.ts'
import type { Purges } from '../purge/purges.ts'
import { FillInsertion } from '../storage/fill-insertion.ts'
import type { MemoryTier } from '../storage/memory-tier.ts'
import type { Insertion } from '../storage/storage-tier.ts'
import { isSliced, type StoredMetadata, StoredResponse } from '../storage/stored-response.ts'
import type { TieredStore } from '../storage/tiered-store.ts'
import type { Exchange, ExchangeEnd } from '../transport/exchange.ts'
import { admit } from './admit.ts'
import {
  answerError,
  answerRedirect,
  answerSlice,
  answerStored,
  answerStoredPart,
  respond,
} from './answer.ts'
import { answerSliced } from './answer-sliced.ts'
import { cacheKey, keyExtra, targetByRule } from './cache-key.ts'
import { missingCertificate, subjectOf, withSubject } from './client-subject.ts'
import { type Found, findStored, NOTHING, withLarge } from './find-stored.ts'
import { forwardFields, hasLooped } from './forward-fields.ts'
import { type Invalidator, invalidateAfter } from './invalidate-after.ts'
import { bodyLengthOf, LargeStored, type Reusable } from './large-stored.ts'
import { limitBody } from './limit-body.ts'
import { type CallHost, OriginCall } from './origin-call.ts'
import type { ForwardReason } from './outcome.ts'
import { PassCall, type PassHost } from './pass-call.ts'
import { type FetchPlan, planFetch, planSlice, rangeWithinPart } from './plan-fetch.ts'
import type { LeasedFetch, PopLease } from './pop-lease.ts'
import { SharedSeeker } from './shared-seeker.ts'
import type { Site, Tenant } from './site.ts'
import type { SliceRead } from './slice-read.ts'
import { isOfSliced, Slices } from './slices.ts'
import { storeAfterHead, storeAfterPost } from './store-after-pass.ts'
import { Transaction } from './transaction.ts'
import { UncacheableKeys } from './uncacheable-keys.ts'

export interface PipelineOptions {
  readonly site: Site
  readonly tier: MemoryTier
  /** The tiers behind memory; null when there are none. */
  readonly shared: TieredStore | null
  /** Collapses the misses of the machines of a PoP; null when they do not wait for each other. */
  readonly lease: PopLease | null
  /** The other workers of the machine; null when there are none. */
  readonly peers: Peers | null
  readonly purges: Purges
  readonly clock: Clock
  /** This proxy's name in Via. */
  readonly pseudonym: string
  readonly trustedProxies: BlockList
  readonly maxRequestBodyBytes: number | undefined
  originsOf(tenant: Tenant): OriginGroup
  /** The exchange is over: log and metrics. */
  record(tx: Transaction, end: ExchangeEnd): void
  countOrigin(tenant: Tenant | null, outcome: string): void
  countOriginBytes(bytes: number): void
  countCollapsed(): void
  /** Keys that an unsafe request has invalidated here, for the other workers. */
  announceInvalidation(keys: readonly string[]): void
  /** Who may send PURGE. */
  readonly purgeFrom: BlockList
  /** Hands a purge to the bus; undefined when there is none. */
  publishPurge: ((message: PurgeMessage) => Promise<PurgeAnswer>) | undefined
}

/** Times that a request waits for another's answer before it goes alone. */
const MAX_RELEASES = 2
/** Times that a request waits for the fetch of another machine before it is fetched here. */
const MAX_LEASE_WAITS = 2
/** As many tags as one purge may have. */
const MAX_GROUPS = 1_000

/** The spine: joins the decisions of `caching/` to transport, storage and origin, in the order of the drawing. */
export class Pipeline implements CallHost, PassHost, Invalidator {
  readonly tier: MemoryTier
  #options: PipelineOptions
  /** Calls that others may join, by call key; the plain key comes first in it. */
  readonly #calls = new Map<string, OriginCall>()
  readonly #uncacheable = new UncacheableKeys()
  /** Fetches that take their turn among the machines of the PoP. */
  readonly #leased = new Map<OriginCall, LeasedFetch>()
  /** Keys invalidated here a moment ago: their owner may not have heard of it yet, so it is not asked. */
  readonly #invalidated = new UncacheableKeys(5_000)
  readonly #seeker: SharedSeeker
  readonly slices: Slices

  constructor(options: PipelineOptions) {
    this.#options = options
    this.tier = options.tier
    this.#seeker = new SharedSeeker(options.tier, options.shared, options.purges)
    this.slices = new Slices(this, options.tier, options.shared)
  }

  /** A new configuration; exchanges under way finish with the one they began with. */
  configure(options: PipelineOptions): void {
    this.#options = options
  }

  now(): number {
    this.#options.clock.tick()
    return this.#options.clock.ms
  }

  /** `slice`: the request is for one slice of the representation whose head is stored under its key. */
  handle(exchange: Exchange, fromPeer = false, slice: SliceRequest | null = null): void {
    const tx = new Transaction(exchange)
    tx.fromPeer = fromPeer
    tx.slice = slice
    this.#handle(tx)
  }

  #handle(tx: Transaction): void {
    const { exchange } = tx
    tx.purgeNumber = this.purgeNumber
    exchange.onClose = (end) => this.#closed(tx, end)
    try {
      this.#serve(tx)
    } catch (cause) {
      this.fail(tx, new ProxyError('INTERNAL', [String(cause)], cause))
    }
  }

  #serve(tx: Transaction): void {
    const { exchange } = tx
    const { client } = exchange
    const admitted = admit(exchange, this.#options.site)
    if (admitted instanceof ProxyError) return this.fail(tx, admitted)
    tx.tenant = admitted
    if (this.#redirect(tx)) return
    if (!tx.fromPeer) {
      const missing = missingCertificate(admitted, client)
      if (missing !== null) return this.fail(tx, missing)
      const { subjectField } = admitted
      if (subjectField !== null) {
        tx.request = withSubject(tx.request, subjectField, subjectOf(admitted, client))
      }
    }
    const { request } = tx
    const maxBytes = this.#options.maxRequestBodyBytes
    if (maxBytes !== undefined && (exchange.body?.length ?? 0) > maxBytes) {
      return this.fail(tx, new ProxyError('BODY_TOO_LARGE', [maxBytes]))
    }
    if (request.method === 'PURGE') return this.#purge(tx)
    if (request.method === 'OPTIONS' && answersOptionsItself(exchange)) return answerOptions(tx)
    const rule = admitted.ruleFor(pathOf(request.target), request.method)
    tx.rule = rule
    tx.target = targetByRule(request.target, rule.query)
    tx.key = cacheKey(admitted.id, request.scheme, request.authority, tx.target)
    tx.keyExtra = keyExtra(rule, request.fields)
    if (rule.cache.honourRequestDirectives) {
      tx.directives = parseCacheControl(request.fields.get('cache-control'))
    }
    if (rule.cache.bypass) return this.#pass(tx, 'bypass', null)
    if (request.method !== 'GET' && request.method !== 'HEAD') return this.#pass(tx, 'method', null)
    // A body on GET is an input that no key covers: the answer is for this client alone.
    // RFC 9110 §13.1.1, §13.1.4: If-Match and If-Unmodified-Since are for the origin to evaluate.
    if (exchange.body !== null || hasOriginConditions(request.fields)) {
      return this.#pass(tx, 'request', null)
    }
    if (tx.slice !== null) this.slices.isFor(tx, tx.slice)
    this.#serveFromStore(tx)
  }

  /** True when the request has come by plain HTTP, and has been told to come by HTTPS. */
  #redirect(tx: Transaction): boolean {
    const { request, tenant } = tx
    const redirect = tenant?.redirect ?? null
    if (redirect === null || request.scheme === 'https' || tx.fromPeer) return false
    // From an address that may purge, which need not speak TLS with us.
    if (request.method === 'PURGE') return false
    // A trusted proxy in front has spoken TLS with the client: it would be sent here for ever.
    const { peerAddress } = tx.exchange.client
    const isTerminated =
      request.fields.get('x-forwarded-proto') === 'https' &&
      isListed(this.#options.trustedProxies, peerAddress)
    const location = isTerminated ? null : redirect.locationFor(request)
    if (location === null) return false
    answerRedirect(tx, redirect.statusFor(request.method), location)
    return true
  }

  /** Never passed on: an origin that knows the method trusts the addresses of its proxies. */
  #purge(tx: Transaction): void {
    const { purgeFrom, publishPurge } = this.#options
    if (publishPurge === undefined || !isListed(purgeFrom, tx.exchange.client.address)) {
      return this.fail(tx, new ProxyError('PURGE_REFUSED'))
    }
    void publishPurge(purgeOf(tx.request)).then((answer) => {
      if (tx.closed) return
      const { head, bytes } = purgeResponse(answer)
      head.fields.add('cache-status', tx.outcome.cacheStatus())
      respond(tx, head.status, head.fields, bytes)
    })
  }

  #serveFromStore(tx: Transaction): void {
    if (tx.slice !== null) return this.#serveSlice(tx, tx.slice)
    const { request } = tx
    if (this.#options.purges.weed(this.tier, tx.key)) tx.outcome.detail = 'purged'
    const inMemory = findStored(this.tier.lookUp(tx.key), tx.keyExtra, request.fields)
    const now = this.now()
    const found = this.slices.choose(tx, withLarge(inMemory, tx.large), now)
    const usable = found.whole !== null && now < found.whole.freshUntilAt
    if (!usable && !tx.sought && this.#seeker.seek(tx, () => this.#sought(tx))) return
    if (found.whole !== null && !isSliced(found.whole)) {
      return this.#reuse(tx, found.whole, found, now)
    }
    if (this.#servePart(tx, found, now)) return
    if (found.whole !== null) return this.#reuse(tx, found.whole, found, now)
    const isPartial = found.part !== null || found.sliced !== null
    const reason: ForwardReason = isPartial ? 'partial' : found.any ? 'vary-miss' : 'uri-miss'
    this.#forward(tx, reason, found, now)
  }

  /** True when all that is asked for lies in a part that memory has. */
  #servePart(tx: Transaction, { part, sliced }: Found, now: number): boolean {
    const { request } = tx
    const range = request.method === 'GET' ? wantedRange(request.fields) : null
    // RFC 9111 §4: of several the most recent; slices are freshened as they come.
    if (part === null || range === null || (sliced !== null && !isOfSliced(part, sliced))) {
      return false
    }
    const within = rangeWithinPart(part, range, request.fields, tx.directives, now)
    if (within === null) return false
    this.tier.touch(part)
    tx.outcome.hit = true
    answerStoredPart(tx, part, within, now)
    return true
  }

  /** One slice of a representation whose head has been found: whether it may be used was decided there. */
  #serveSlice(tx: Transaction, slice: SliceRequest): void {
    const stored = this.tier.lookUp(tx.key) ?? tx.large
    if (stored === null && !tx.sought && this.#seeker.seek(tx, () => this.#sought(tx))) return
    if (stored !== null && isSlice(slice, stored.fields, stored.dateAt)) {
      if (stored instanceof StoredResponse) this.tier.touch(stored)
      tx.outcome.hit = true
      const wanted = tx.wanted ?? { first: 0, end: bodyLengthOf(stored) }
      return answerSlice(tx, stored, wanted, this.now())
    }
    if (tx.directives.onlyIfCached) return this.fail(tx, new ProxyError('ONLY_IF_CACHED'))
    tx.outcome.forwarded = 'uri-miss'
    if (this.#refusesLoop(tx)) return
    const unshared = tx.directives.noStore || isForOneClient(tx)
    const alone = unshared || tx.alone || tx.released > MAX_RELEASES
    // Someone may be asking for this very slice who did not know the head yet.
    if (!alone && this.#calls.get(probeCallKey(tx, slice))?.join(tx)) return
    const call = this.#newCall(tx, NOTHING, planSlice(slice), sliceCallKey(tx.key))
    this.#joinOrStart(tx, call, alone, unshared ? null : this.#ownerOf(tx, tx.headKey))
  }

  /** The tiers behind memory have answered: what they have is in memory now, or in `tx.large`. */
  #sought(tx: Transaction): void {
    if (tx.closed) return
    try {
      this.#serveFromStore(tx)
    } catch (cause) {
      this.fail(tx, new ProxyError('INTERNAL', [String(cause)], cause))
    }
  }

  #reuse(tx: Transaction, stored: Reusable, found: Found, now: number): void {
    const { purges } = this.#options
    if (purges.isCutOff) tx.outcome.detail = 'bus-lost'
    // A purge may have been missed: its origin knows.
    if (purges.mustRevalidate) return this.#forward(tx, 'stale', found, now)
    const decision = decideReuse(stored, tx.directives, now)
    if (decision.kind === 'validate') {
      return this.#forward(tx, decision.reason === 'stale' ? 'stale' : 'request', found, now)
    }
    // The worker that asks has decided already that it wants what is new.
    if (tx.fromPeer && decision.kind === 'stale-while-revalidate') {
      return this.#forward(tx, 'stale', found, now)
    }
    if (stored instanceof StoredResponse) this.tier.touch(stored)
    tx.outcome.hit = true
    if (decision.kind === 'stale-allowed') tx.outcome.detail = 'max-stale'
    if (decision.kind === 'stale-while-revalidate') {
      tx.outcome.detail = 'stale-while-revalidate'
      this.#revalidateBehind(tx, found, now)
    }
    this.#answer(tx, stored, now)
  }

  #answer(tx: Transaction, stored: Reusable, now: number): void {
    if (stored instanceof StoredResponse && isSliced(stored)) {
      answerSliced(this.slices, tx, stored, now)
    } else answerStored(tx, stored, now)
  }

  #forward(tx: Transaction, reason: ForwardReason, found: Found, now: number): void {
    if (tx.directives.onlyIfCached) {
      // RFC 9111 §5.2.1.7
      tx.outcome.detail = 'only-if-cached'
      return this.fail(tx, new ProxyError('ONLY_IF_CACHED'))
    }
    tx.outcome.forwarded = reason
    if (tx.request.method === 'HEAD') return this.#pass(tx, reason, found.whole)
    if (this.#refusesLoop(tx)) return
    // The answer is likely to be for one client, or must be newer than the request: nobody shares it.
    const unshared =
      tx.directives.noCache !== false ||
      tx.directives.noStore ||
      isForOneClient(tx) ||
      this.#uncacheable.has(tx.key, now)
    const alone = unshared || tx.alone || tx.released > MAX_RELEASES
    const owner = unshared ? null : this.#ownerOf(tx)
    // A part is completed by the owner, who has it too.
    const whole = tx.released > MAX_RELEASES || (owner !== null && !tx.request.fields.has('range'))
    const slicing = alone || owner !== null ? null : this.slices.slicing(tx, found)
    const plan = this.#plan(tx, found, whole, slicing, now)
    const call = this.#newCall(tx, found, plan, this.#callKey(tx, found, plan))
    this.#joinOrStart(tx, call, alone, owner)
  }

  /** Waits with those who want the same already, or has it fetched. */
  #joinOrStart(tx: Transaction, call: OriginCall, alone: boolean, owner: number | null): void {
    const { range } = call.plan
    const whole = range === undefined ? undefined : this.#calls.get(call.keyWhenWhole)
    const running = whole ?? this.#calls.get(call.callKey)
    if (!alone && running?.join(tx)) {
      tx.outcome.collapsed = true
      // Of an answer from slices the first one counts.
      if (tx.slice === null) this.countCollapsed()
      return
    }
    call.owner = owner
    if (!alone) this.#calls.set(call.callKey, call)
    call.join(tx)
    call.start()
  }

  #plan(
    tx: Transaction,
    found: Found,
    whole: boolean,
    slicing: Slicing | null,
    now: number,
  ): FetchPlan {
    return planFetch(tx, found, whole, this.tier.maxObjectBytes, slicing, now)
  }

  /** The worker that fetches this key for all of the machine; null when it is this one. */
  #ownerOf(tx: Transaction, key = tx.key): number | null {
    if (tx.fromPeer || this.#invalidated.has(key, this.now())) return null
    return this.#options.peers?.ownerOf(key) ?? null
  }

  #newCall(tx: Transaction, found: Found, plan: FetchPlan, callKey: string): OriginCall {
    const { request } = tx
    const asked = {
      key: tx.key,
      keyExtra: tx.keyExtra,
      method: 'GET',
      requestFields: request.fields,
      requestDirectives: tx.directives,
      rule: tx.rule?.cache ?? raise(),
      validating: plan.validating,
      ranged: plan.range !== undefined,
      slicing: plan.slicing,
      probe: plan.probe,
      slice: tx.slice,
      requestAt: this.now(),
      purgeSequence: this.purgeNumber,
    }
    return new OriginCall(this, callKey, asked, tx, found.whole, plan)
  }

  /** RFC 5861 §3: one validation behind the answers that it is for. */
  #revalidateBehind(tx: Transaction, found: Found, now: number): void {
    const owner = this.#ownerOf(tx)
    const slicing = owner === null ? this.slices.slicing(tx, found) : null
    const plan = this.#plan(tx, found, true, slicing, now)
    const callKey = this.#callKey(tx, found, plan)
    if (this.#calls.has(callKey)) return
    const call = this.#newCall(tx, found, plan, callKey)
    call.owner = owner
    this.#calls.set(callKey, call)
    call.start()
  }

  /** Requests with the same call key can use one answer, as far as can be known before it comes. */
  #callKey(tx: Transaction, found: Found, plan: FetchPlan): string {
    const { values } = variantKey(found.vary, tx.request.fields)
    const variant = values.length === 0 ? '' : JSON.stringify(values)
    return `${tx.key}\n${tx.keyExtra}\n${variant}\n${plan.range ?? ''}`
  }

  #pass(tx: Transaction, reason: ForwardReason, fallback: Reusable | null): void {
    tx.outcome.forwarded = reason
    if (this.#refusesLoop(tx)) return
    tx.fallback = fallback
    const { request } = tx
    const { body } = tx.exchange
    const limited = limitBody(body, this.#options.maxRequestBodyBytes, (maxBytes) =>
      this.fail(tx, new ProxyError('BODY_TOO_LARGE', [maxBytes])),
    )
    const fields = this.#forwardedFields(tx, false)
    new PassCall(this, tx).start({
      method: request.method,
      target: tx.target,
      fields,
      body: limited,
    })
  }

  /** RFC 9110 §7.6.3: Via is how a proxy sees that it is asking itself. What is stored may be answered all the same. */
  #refusesLoop(tx: Transaction): boolean {
    if (!hasLooped(tx.request.fields, this.#options.pseudonym)) return false
    this.fail(tx, new ProxyError('LOOP'))
    return true
  }

  #forwardedFields(tx: Transaction, forCache: boolean): Fields {
    const { request } = tx
    const { client } = tx.exchange
    const mode = tx.tenant?.config.hostHeader
    return forwardFields(request, client, {
      host: mode?.mode === 'name' ? mode.name : mode?.mode === 'origin' ? '' : request.authority,
      pseudonym: this.#options.pseudonym,
      trustedPeer: isListed(this.#options.trustedProxies, client.peerAddress),
      forCache,
    })
  }

  // What calls ask of the pipeline (CallHost, PassHost)

  insert(
    call: OriginCall,
    metadata: StoredMetadata,
    expectedBytes: number | undefined,
  ): FillInsertion | null {
    const memory = this.tier.insert(metadata, expectedBytes)
    const shared = this.#insertBehind(call, metadata, expectedBytes)
    if (memory === null && shared === null) return null
    return new FillInsertion(memory, shared, call.owner !== null)
  }

  #insertBehind(
    { owner, ownersFile }: OriginCall,
    metadata: StoredMetadata,
    expectedBytes: number | undefined,
  ): Insertion | null {
    const { shared } = this.#options
    // Parts stay in memory: what is worth more than that is fetched in slices.
    if (shared === null || metadata.part !== undefined) return null
    if (owner === null) return shared.insert(metadata, expectedBytes)
    return ownersFile === undefined ? null : shared.follow(ownersFile)
  }

  freshen(stored: Reusable, metadata: StoredMetadata, keep: KeepDecision): Reusable {
    if (keep === 'forget') this.forget(stored)
    if (keep === 'update') this.#seeker.freshen(stored, metadata)
    if (!(stored instanceof StoredResponse)) return new LargeStored(stored.handle, metadata)
    if (keep === 'update') return this.tier.freshen(stored, metadata)
    return new StoredResponse(metadata, stored.body)
  }

  forget(stored: Reusable): void {
    if (stored instanceof StoredResponse) this.tier.remove(stored)
    this.#seeker.remove(stored)
  }

  originRequest(call: OriginCall): OriginRequest {
    const tx = call.leader
    const fields = this.#forwardedFields(tx, true)
    if (!call.unconditional)
      for (const [name, value] of call.plan.conditions) fields.add(name, value)
    return { method: 'GET', target: tx.target, fields, body: null }
  }

  startCall(call: OriginCall): OriginFetch {
    const { leader, owner } = call
    const { peers } = this.#options
    const ask = (handler: OriginHandler) => {
      call.owner = null
      return this.start(leader, this.originRequest(call), handler)
    }
    if (owner === null || peers === null) return this.#askInTurn(call, () => ask(call))
    const { client } = leader.exchange
    const { request } = leader
    // What fits into memory is copied again as a whole: cheaper than to trust that equal validators mean equal bytes.
    const { validating } = call.plan
    const small = validating instanceof StoredResponse && !isSliced(validating)
    const conditions = call.unconditional || small ? new Fields() : call.plan.conditions
    const fields = peerFields(request, client, conditions, call.asked.purgeSequence, leader.slice)
    return peers.fetch(
      owner,
      { method: 'GET', target: request.target, fields, body: null },
      call,
      ask,
    )
  }

  /** The origin, unless another machine of the PoP is asking it for the same. */
  #askInTurn(call: OriginCall, ask: () => OriginFetch): OriginFetch {
    const { lease } = this.#options
    const { leader } = call
    const isShared = this.#calls.get(call.callKey) === call && call.plan.range === undefined
    if (lease === null || !isShared || leader.leaseWaits >= MAX_LEASE_WAITS) return ask()
    const fetch = lease.fetch(call.asked.key, ask, () => call.giveBack())
    this.#leased.set(call, fetch)
    return fetch
  }

  /** What the machines that wait will look for has to be in Redis before they are told. */
  #endLease(call: OriginCall): void {
    const fetch = this.#leased.get(call)
    const { lease, shared } = this.#options
    if (fetch === undefined || lease === null) return
    this.#leased.delete(call)
    const { key, requestAt } = call.asked
    let isThere = false
    for (let stored = this.tier.lookUp(key); stored !== null; stored = stored.next) {
      if (stored.responseAt < requestAt || stored.part !== undefined) continue
      shared?.promote(stored, stored.body)
      isThere = true
    }
    lease.done(key, fetch, isThere)
  }

  /** Callbacks never come from inside this call. */
  start(tx: Transaction, request: OriginRequest, handler: OriginHandler): OriginFetch {
    return this.#options.originsOf(tx.tenant ?? raise()).fetch(request, handler)
  }

  release(tx: Transaction): void {
    tx.released++
    this.again(tx)
  }

  again(tx: Transaction): void {
    if (tx.closed) return
    tx.onGone = null
    this.#sought(tx)
  }

  becomesSlice(call: OriginCall, key: string): void {
    this.finished(call)
    call.callKey = sliceCallKey(key)
    if (!this.#calls.has(call.callKey)) this.#calls.set(call.callKey, call)
  }

  becomesWhole(call: OriginCall): void {
    if (this.#calls.get(call.callKey) !== call || this.#calls.has(call.keyWhenWhole)) return
    this.#calls.delete(call.callKey)
    call.callKey = call.keyWhenWhole
    this.#calls.set(call.callKey, call)
  }

  /** RFC 9110 §15.5.13: what If-Range and the complete length asked for is not so. */
  mismatch(tx: Transaction): void {
    respond(tx, 412, new Fields(['cache-status', tx.outcome.cacheStatus()]), null)
  }

  get purgeNumber(): number {
    return this.#options.purges.number
  }

  isPurged(metadata: StoredMetadata): boolean {
    return this.#options.purges.judge(metadata) === 'purged'
  }

  isOvertaken(metadata: StoredMetadata): boolean {
    return this.#options.purges.judge(metadata) !== 'valid'
  }

  mayBeOvertaken(key: string, number: number): boolean {
    return this.#options.purges.mayCover(key, number)
  }

  useStored(tx: Transaction, stored: Reusable): void {
    if (!tx.closed) this.#answer(tx, stored, this.now())
  }

  useStale(tx: Transaction, trouble: OriginTrouble): boolean {
    const stored = tx.fallback
    const now = this.now()
    if (stored === null || this.isPurged(stored)) return false
    if (!mayUseStaleOnError(stored, tx.directives, trouble, now)) return false
    tx.outcome.detail = 'stale-if-error'
    this.#answer(tx, stored, now)
    return true
  }

  fail(tx: Transaction, error: ProxyError): void {
    tx.failure = error
    if (tx.closed) return
    if (tx.status !== 0) return tx.exchange.abort()
    answerError(tx, error)
  }

  finished(call: OriginCall): void {
    this.#endLease(call)
    if (this.#calls.get(call.callKey) === call) this.#calls.delete(call.callKey)
  }

  uncacheable(call: OriginCall): void {
    this.#uncacheable.add(call.asked.key, this.now())
  }

  countOrigin(tx: Transaction, outcome: string): void {
    this.#options.countOrigin(tx.tenant, outcome)
  }

  countOriginBytes(bytes: number): void {
    this.#options.countOriginBytes(bytes)
  }

  passed(tx: Transaction, status: number, fields: Fields): Insertion | null {
    const { method } = tx.request
    if (method === 'HEAD') {
      if (storeAfterHead(this.tier, tx, status, fields, this.now()) === 'forgotten') {
        this.#forgetEverywhere([tx.key])
      }
      return null
    }
    const invalidated = invalidateAfter(this, tx, status, fields)
    if (invalidated.length > 0) this.#forgetEverywhere(invalidated)
    this.#invalidateGroups(tx, status, fields)
    return method === 'POST' ? storeAfterPost(this.tier, tx, status, fields, this.now()) : null
  }

  /** RFC 9875 §3, by a purge: on every worker of every machine. */
  #invalidateGroups(tx: Transaction, status: number, fields: Fields): void {
    const { publishPurge } = this.#options
    const tags = invalidatedGroups(tx.request.method, status, fields).slice(0, MAX_GROUPS)
    if (tags.length === 0 || tx.tenant === null) return
    void publishPurge?.({ type: 'tag', tenant: tx.tenant.id, tags, soft: false })
  }

  /** Everywhere, and what is under way for it is not stored. */
  forgetKey(key: string): void {
    this.invalidate(key)
    this.#forgetEverywhere([key])
  }

  wasForgotten(key: string): boolean {
    return this.#invalidated.has(key, this.now())
  }

  countCollapsed(): void {
    this.#options.countCollapsed()
  }

  openSlice(read: SliceRead): void {
    const tx = new Transaction(read)
    tx.slice = read.slice
    tx.wanted = read.wanted
    read.outcome = tx.outcome
    this.#handle(tx)
  }

  /** The other workers hear of it; until they have, this one does not ask them. */
  #forgetEverywhere(keys: readonly string[]): void {
    const now = this.now()
    for (const key of keys) {
      this.#invalidated.add(key, now)
      this.#seeker.removeKey(key)
    }
    this.#options.announceInvalidation(keys)
  }

  /** Nothing stored for the key is used again, and nothing under way for it is stored (RFC 9111 §4.4). */
  invalidate(key: string): void {
    this.slices.removeKey(key)
    this.tier.removeKey(key)
    this.#seeker.removeKey(key)
    const prefix = `${key}\n`
    for (const [callKey, call] of this.#calls) if (callKey.startsWith(prefix)) call.invalidate()
  }

  #closed(tx: Transaction, end: ExchangeEnd): void {
    tx.closed = true
    const { onGone } = tx
    tx.onGone = null
    if (!end.complete) onGone?.()
    if (!tx.fromPeer && tx.slice === null) this.#options.record(tx, end)
  }
}

/** Calls for slices are found, and ended, by the key of their head as well, which theirs begins with. */
function sliceCallKey(key: string): string {
  return `${key}\n`
}

/** The key of a call for the slice that was made while nothing was stored: see `#callKey`. */
function probeCallKey(tx: Transaction, { range, slices }: SliceRequest): string {
  const { first, last } = sliceRange(sliceIndex(range.first, slices.bytes), slices.bytes)
  return `${tx.headKey}\n${tx.keyExtra}\n\nbytes=${first}-${last}`
}

function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return mark < 0 ? target : target.slice(0, mark)
}

function hasOriginConditions(fields: Fields): boolean {
  return fields.has('if-match') || fields.has('if-unmodified-since')
}

/** The single range a GET asks for; null when there is none, or several. */
function wantedRange(fields: Fields): ReturnType<typeof parseRange> {
  const text = fields.get('range')
  const specs = text === undefined ? null : parseRange(text)
  return specs?.length === 1 ? specs : null
}

function isListed(trusted: BlockList, address: string): boolean {
  return trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
}

/** `OPTIONS *`, and OPTIONS whose Max-Forwards ends here (RFC 9110 §7.6.2, §9.3.7). */
function answersOptionsItself({ request }: Exchange): boolean {
  return request.target === '*' || request.fields.get('max-forwards') === '0'
}

function isForOneClient({ request, rule }: Transaction): boolean {
  return hasCredentials(request.fields, rule?.cache ?? raise())
}

function answerOptions(tx: Transaction): void {
  const allow = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'
  respond(tx, 204, new Fields(['allow', allow, 'cache-status', tx.outcome.cacheStatus()]), null)
}

function raise(): never {
  throw new Error('a transaction was used before it was admitted')
}

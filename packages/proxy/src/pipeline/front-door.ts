import { normaliseAcceptEncoding } from '../caching/normalise-accept.ts'
import { parseAuthority } from '../http/authority.ts'
import type { Clock } from '../http/clock.ts'
import { isUnmodifiedSince, matchesAny } from '../http/preconditions.ts'
import type { Purges } from '../purge/purges.ts'
import type { MemoryTier } from '../storage/memory-tier.ts'
import type { StoredResponse } from '../storage/stored-response.ts'
import type {
  ClientFacts,
  Exchange,
  FrontDoor,
  ReadyAnswer,
  RequestView,
} from '../transport/exchange.ts'
import { cacheKey } from './cache-key.ts'
import { isSelectedBy } from './find-stored.ts'
import type { Pipeline } from './pipeline.ts'
import { hpackHeadOf, http1HeadOf } from './ready-heads.ts'
import type { Rule, Site, Tenant } from './site.ts'

export interface HitRecorder {
  /** A hit has been answered through the synchronous door. */
  recordHit(
    view: RequestView,
    client: ClientFacts,
    answer: ReadyHit,
    bytes: number,
    startedAt: number,
  ): void
  recordRefusal(client: ClientFacts, status: number, reason: string): void
}

/**
 * The answer of the synchronous door: one object per worker, filled anew for each hit, so that a hit allocates nothing
 * here. What is traded: it is valid only until the next look-up, which is all that the transports need.
 */
export class ReadyHit implements ReadyAnswer {
  status = 0
  http1Head = ''
  hpackHead = ''
  body: Buffer | null = null
  ageBaseAt = 0
  freshUntilAt = 0
  tenant: Tenant | null = null
  rule: Rule | null = null
}

/** Where the transports hand requests in: fresh memory hits are answered at once, everything else by the pipeline. */
export class PipelineDoor implements FrontDoor {
  #site: Site
  readonly #tier: MemoryTier
  readonly #clock: Clock
  readonly #purges: Purges
  readonly #pipeline: Pipeline
  readonly #recorder: HitRecorder
  readonly #hit = new ReadyHit()

  constructor(
    site: Site,
    tier: MemoryTier,
    clock: Clock,
    purges: Purges,
    pipeline: Pipeline,
    recorder: HitRecorder,
  ) {
    this.#site = site
    this.#tier = tier
    this.#clock = clock
    this.#purges = purges
    this.#pipeline = pipeline
    this.#recorder = recorder
  }

  configure(site: Site): void {
    this.#site = site
  }

  /**
   * Answers exactly what `handle` would: a fresh, complete stored response whose key is host and target alone. Any
   * doubt is left to the general door.
   */
  lookUp(view: RequestView, client: ClientFacts): ReadyAnswer | null {
    if (view.unusual) return null
    const host = parseAuthority(view.authority, view.scheme)?.host
    if (host === undefined) return null
    const tenant = this.#site.tenantOf(host)
    if (tenant === undefined) return null
    const { serverName } = client
    if (serverName !== undefined && serverName !== host) {
      if (this.#site.tenantOf(serverName) !== tenant) return null
    }
    const { target } = view
    const mark = target.indexOf('?')
    const rule = tenant.ruleFor(mark < 0 ? target : target.slice(0, mark), view.method)
    if (!rule.plainKey || rule.cache.bypass) return null
    if (tenant.redirect !== null && view.scheme === 'http') return null
    const { requiredCertificate, subjectField } = tenant
    if (requiredCertificate !== null && client.certificate?.demandId !== requiredCertificate) {
      return null
    }
    const chain = this.#tier.lookUp(cacheKey(tenant.id, view.scheme, view.authority, target))
    if (chain === null) return null
    this.#clock.tick()
    const now = this.#clock.ms
    const stored = selectStored(chain, view)
    if (stored === null || now >= stored.freshUntilAt || stored.policy.alwaysValidate) return null
    // The view has what the client says of itself there.
    if (subjectField !== null && variesBy(chain, subjectField)) return null
    if (!this.#purges.isValid(stored) || this.#purges.isCutOff) return null
    this.#tier.touch(stored)
    const notModified = isNotModified(stored, view, now)
    const hit = this.#hit
    const strictTransport = view.scheme === 'https' ? tenant.strictTransport : null
    if (view.httpVersion === '2') {
      hit.hpackHead = hpackHeadOf(stored, notModified, strictTransport)
    } else hit.http1Head = http1HeadOf(stored, notModified, strictTransport)
    return this.#answer(stored, notModified, tenant, rule)
  }

  #answer(stored: StoredResponse, notModified: boolean, tenant: Tenant, rule: Rule): ReadyHit {
    const hit = this.#hit
    hit.status = notModified ? 304 : stored.status
    hit.body = notModified || stored.status === 204 ? null : stored.body
    hit.ageBaseAt = stored.ageBaseAt
    hit.freshUntilAt = stored.freshUntilAt
    hit.tenant = tenant
    hit.rule = rule
    return hit
  }

  answered(
    view: RequestView,
    client: ClientFacts,
    _answer: ReadyAnswer,
    bytes: number,
    startedAt: number,
  ): void {
    this.#recorder.recordHit(view, client, this.#hit, bytes, startedAt)
  }

  handle(exchange: Exchange): void {
    this.#pipeline.handle(exchange)
  }

  refused(client: ClientFacts, status: number, reason: string): void {
    this.#recorder.recordRefusal(client, status, reason)
  }
}

/** The newest complete stored response that the request selects, as `findStored` finds it. */
function selectStored(chain: StoredResponse, view: RequestView): StoredResponse | null {
  let selected: StoredResponse | null = null
  for (let stored: StoredResponse | null = chain; stored !== null; stored = stored.next) {
    if (stored.part !== undefined || stored.keyExtra !== '' || !isVariantOf(stored, view)) continue
    if (selected === null || stored.responseAt > selected.responseAt) selected = stored
  }
  return selected
}

/** Whether any stored response of the key is selected by the field. */
function variesBy(chain: StoredResponse, field: string): boolean {
  for (let stored: StoredResponse | null = chain; stored !== null; stored = stored.next) {
    if (stored.variant.names.includes(field)) return true
  }
  return false
}

function isVariantOf(stored: StoredResponse, view: RequestView): boolean {
  const { names, values } = stored.variant
  if (names.length === 0) return true
  // By far the most common nominated field: no field section is made for it.
  if (names.length === 1 && names[0] === 'accept-encoding') {
    const { acceptEncoding } = view
    return (
      values[0] ===
      (acceptEncoding === undefined ? undefined : normaliseAcceptEncoding(acceptEncoding))
    )
  }
  return isSelectedBy(stored, view.fields)
}

/** RFC 9110 §13.2.2, as `evaluatePreconditions` has it. */
function isNotModified(stored: StoredResponse, view: RequestView, now: number): boolean {
  const { ifNoneMatch, ifModifiedSince } = view
  if (ifNoneMatch === undefined && ifModifiedSince === undefined) return false
  if (stored.status < 200 || stored.status > 299) return false
  if (ifNoneMatch !== undefined) return matchesAny(ifNoneMatch, stored.entityTag)
  return ifModifiedSince !== undefined && isUnmodifiedSince(ifModifiedSince, stored, now)
}

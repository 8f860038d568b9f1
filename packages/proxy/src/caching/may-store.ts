import { listMembers } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import type { CacheControl } from './cache-control.ts'
import { type CacheRule, hasCredentials } from './cache-rule.ts'
import {
  type Freshness,
  freshnessLifetime,
  hasExplicitFreshness,
  isHeuristicallyCacheable,
} from './freshness.ts'
import { responseTags } from './response-tags.ts'
import { type ResponseDirectives, responseDirectives } from './targeted-cache-control.ts'

/** Why a response was not stored: `detail` of Cache-Status, and a word of the access log. */
export type StoreRefusal =
  | 'rule-bypass'
  | 'method'
  | 'request-no-store'
  | 'no-store'
  | 'private'
  | 'authorization'
  | 'set-cookie'
  | 'status'
  | 'status-not-understood'
  | 'vary-star'
  | 'vary-client'
  | 'no-freshness'
  | 'too-large'
  | 'too-many-tags'
  | 'incomplete'
  | 'end-unverified'
  | 'partial-without-validator'
  | 'purged'

/** What the reuse decisions need of a stored response's directives, settled when it is stored. */
export interface ReusePolicy {
  readonly freshness: Freshness
  /** RFC 9111 §5.2.2.4: every use needs a successful validation. */
  readonly alwaysValidate: boolean
  /** False when a directive forbids every stale use (RFC 9111 §4.2.4). */
  readonly mayServeStale: boolean
  readonly staleWhileRevalidateMs: number
  /** undefined when nobody said: then only an origin that cannot be reached lets it be used stale. */
  readonly staleIfErrorMs: number | undefined
  readonly immutable: boolean
  /** Fields that the shared copy must not carry: qualified no-cache and private, Set-Cookie. */
  readonly withheldFields: readonly string[]
}

export type StoreDecision =
  | { readonly store: true; readonly policy: ReusePolicy; readonly tags: readonly string[] }
  | { readonly store: false; readonly reason: StoreRefusal }

export interface StoreQuestion {
  readonly method: string
  readonly requestFields: Fields
  readonly requestDirectives: CacheControl
  readonly status: number
  /** End-to-end fields of the response. */
  readonly fields: Fields
  /** Epoch ms. */
  readonly responseAt: number
  readonly rule: CacheRule
}

/** Final statuses whose caching requirements this cache knows (RFC 9110 §15, RFC 9111 §3, must-understand). */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405,
  406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426, 428,
  429, 431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
])

/**
 * Request fields that this proxy writes anew from who its client is. The client's own values, by which variants are
 * told apart, say nothing about what the origin saw (RFC 9111 §4.1).
 */
const TELLS_THE_CLIENT: ReadonlySet<string> = new Set(['forwarded', 'via', 'x-forwarded-for'])

const refuse = (reason: StoreRefusal): StoreDecision => ({ store: false, reason })

/** RFC 9111 §3, for a shared cache. */
export function mayStore(question: StoreQuestion): StoreDecision {
  const { method, status, fields, rule } = question
  if (rule.bypass) return refuse('rule-bypass')
  if (method !== 'GET' && method !== 'POST') return refuse('method')
  // 304 freshens, it is never a response of its own; 1xx never get here.
  if (status < 200 || status === 304) return refuse('status')
  if (rule.honourRequestDirectives && question.requestDirectives.noStore) {
    return refuse('request-no-store')
  }
  const controls = responseDirectives(fields)
  if (rule.honourOriginDirectives) {
    const forbidden = forbiddenByOrigin(status, controls.directives)
    if (forbidden !== undefined) return refuse(forbidden)
  }
  if (isForOneClient(question) && !allowsAuthorization(controls)) {
    return refuse('authorization')
  }
  const unmatchable = unmatchableVary(fields)
  if (unmatchable !== undefined) return refuse(unmatchable)
  const explicit = hasExplicitFreshness(fields, controls)
  if (fields.has('set-cookie') && !(explicit && rule.storeSetCookie)) return refuse('set-cookie')
  // RFC 9110 §9.3.3: POST only with explicit freshness; Content-Location is the caller's to compare.
  if (method === 'POST' && !explicit) return refuse('method')
  if (!explicit && !controls.directives.public && !isHeuristicallyCacheable(status)) {
    return refuse('status')
  }
  const tags = responseTags(fields, rule.tagLimits)
  if (tags === null) return refuse('too-many-tags')
  const policy = usefulPolicy(question, controls)
  return policy === null ? refuse('no-freshness') : { store: true, policy, tags }
}

/** What a validation does to the stored response that it was for. */
export type KeepDecision =
  /** Its fields are the stored ones from now on. */
  | 'update'
  /** It is for this client alone; what is stored stays as it was. */
  | 'leave'
  /** The origin no longer allows the response to be stored. */
  | 'forget'

/** RFC 9111 §3.2: the update of a stored response is bound by what §3 says of storing. `fields`: the updated ones. */
export function mayKeep(question: StoreQuestion): KeepDecision {
  const { status, fields, rule } = question
  const controls = responseDirectives(fields)
  if (rule.honourOriginDirectives && forbiddenByOrigin(status, controls.directives)) return 'forget'
  if (unmatchableVary(fields) !== undefined) return 'forget'
  if (rule.honourRequestDirectives && question.requestDirectives.noStore) return 'leave'
  if (responseTags(fields, rule.tagLimits) === null) return 'forget'
  return isForOneClient(question) && !allowsAuthorization(controls) ? 'leave' : 'update'
}

/** A Vary that no later request can be matched by: everything, or what this proxy writes for each client. */
function unmatchableVary(fields: Fields): StoreRefusal | undefined {
  const vary = fields.get('vary')
  if (vary === undefined) return undefined
  const names = listMembers(vary.toLowerCase())
  if (names.includes('*')) return 'vary-star'
  return names.some((name) => TELLS_THE_CLIENT.has(name)) ? 'vary-client' : undefined
}

function forbiddenByOrigin(status: number, directives: CacheControl): StoreRefusal | undefined {
  const understood = UNDERSTOOD.has(status)
  // RFC 9111 §5.2.2.3: must-understand forbids what is not understood, and where it is, outweighs no-store.
  if (directives.mustUnderstand) {
    if (!understood) return 'status-not-understood'
  } else if (directives.noStore) return 'no-store'
  if (directives.private === true) return 'private'
  return undefined
}

/** RFC 9111 §3.5 */
function isForOneClient({ requestFields, rule, fields }: StoreQuestion): boolean {
  if (!hasCredentials(requestFields, rule)) return false
  const { credentialField } = rule
  if (credentialField === null || requestFields.has('authorization')) return true
  // Selected by it: each client has a variant of its own.
  return !listMembers(fields.get('vary')?.toLowerCase() ?? '').includes(credentialField)
}

function allowsAuthorization({ directives }: ResponseDirectives): boolean {
  return directives.public || directives.mustRevalidate || directives.sMaxAgeSeconds !== undefined
}

/** A response that is never fresh, never usable stale and cannot be validated is of no use in a store. */
function usefulPolicy(question: StoreQuestion, controls: ResponseDirectives): ReusePolicy | null {
  const { fields } = question
  const policy = reusePolicy(question.status, fields, controls, question.rule, question.responseAt)
  const validatable = fields.has('etag') || fields.has('last-modified')
  const usable =
    policy.freshness.lifetimeMs > 0 ||
    (policy.mayServeStale &&
      (policy.staleWhileRevalidateMs > 0 || (policy.staleIfErrorMs ?? 0) > 0))
  return validatable || (usable && !policy.alwaysValidate) ? policy : null
}

/** Also for a stored response that a 304 has freshened: its directives may have changed. */
export function reusePolicy(
  status: number,
  fields: Fields,
  controls: ResponseDirectives,
  rule: CacheRule,
  responseAt: number,
): ReusePolicy {
  const origin = rule.honourOriginDirectives
  const { directives } = controls
  const alwaysValidate = origin && directives.noCache === true
  const staleForbidden =
    origin &&
    (alwaysValidate ||
      directives.mustRevalidate ||
      directives.proxyRevalidate ||
      // RFC 9111 §5.2.2.10: s-maxage means what proxy-revalidate means, too.
      directives.sMaxAgeSeconds !== undefined)
  const ofOrigin = (seconds: number | undefined) =>
    origin && seconds !== undefined ? seconds * 1000 : undefined
  return {
    freshness: freshnessLifetime(status, fields, controls, rule, responseAt),
    alwaysValidate,
    mayServeStale: !staleForbidden,
    staleWhileRevalidateMs:
      ofOrigin(directives.staleWhileRevalidateSeconds) ?? rule.staleWhileRevalidateMs ?? 0,
    staleIfErrorMs: ofOrigin(directives.staleIfErrorSeconds) ?? rule.staleIfErrorMs,
    immutable: directives.immutable,
    withheldFields: withheldFields(directives, rule),
  }
}

/** Fields that no other client than the one who asked may see. */
export function withheldFields(directives: CacheControl, rule: CacheRule): string[] {
  const names = ['set-cookie']
  if (!rule.honourOriginDirectives) return names
  // RFC 9111 §5.2.2.4, §5.2.2.7: without a validation of its own no later request may see these.
  if (Array.isArray(directives.noCache)) names.push(...directives.noCache)
  if (Array.isArray(directives.private)) names.push(...directives.private)
  return names
}

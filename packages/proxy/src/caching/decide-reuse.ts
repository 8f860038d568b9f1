import { currentAgeSeconds } from './age.ts'
import type { CacheControl } from './cache-control.ts'
import type { ReusePolicy } from './may-store.ts'

/** The stored response as the decision sees it. */
export interface ReuseCandidate {
  /** Epoch ms from which the age counts. */
  readonly ageBaseAt: number
  /** Epoch ms at which it becomes stale. */
  readonly freshUntilAt: number
  readonly policy: ReusePolicy
}

export type ValidateReason =
  | 'stale'
  | 'no-cache'
  | 'request-no-cache'
  | 'request-max-age'
  | 'request-min-fresh'

export type ReuseDecision =
  | { readonly kind: 'fresh' }
  /** The client's max-stale covers it (RFC 9111 §5.2.1.2). */
  | { readonly kind: 'stale-allowed' }
  /** RFC 5861 §3: answer now, validate behind. */
  | { readonly kind: 'stale-while-revalidate' }
  | { readonly kind: 'validate'; readonly reason: ValidateReason }

const FRESH: ReuseDecision = { kind: 'fresh' }
const STALE_ALLOWED: ReuseDecision = { kind: 'stale-allowed' }
const STALE_WHILE_REVALIDATE: ReuseDecision = { kind: 'stale-while-revalidate' }

const validate = (reason: ValidateReason): ReuseDecision => ({ kind: 'validate', reason })

/** May the stored response be used for this request without asking the origin (RFC 9111 §4)? `now` in epoch ms. */
export function decideReuse(
  stored: ReuseCandidate,
  request: CacheControl,
  now: number,
): ReuseDecision {
  const { policy } = stored
  // RFC 9111 §5.2.2.4
  if (policy.alwaysValidate) return validate('no-cache')
  // RFC 9111 §5.2.1.4. RFC 8246 §2 speaks of clients: an explicit no-cache is still obeyed.
  if (request.noCache !== false) return validate('request-no-cache')
  const fresh = now < stored.freshUntilAt
  if (request.maxAgeSeconds !== undefined) {
    const ageSeconds = currentAgeSeconds(stored.ageBaseAt, now)
    // RFC 9111 §5.2.1.1; with max-stale (§5.2.1.2) an age above max-age is taken as if it were staleness.
    const tooOldBySeconds = ageSeconds - request.maxAgeSeconds
    const excused = policy.mayServeStale && (request.maxStaleSeconds ?? -1) >= tooOldBySeconds
    if (tooOldBySeconds > 0 && !excused) return validate('request-max-age')
  }
  // RFC 9111 §5.2.1.3
  if (request.minFreshSeconds !== undefined) {
    if (stored.freshUntilAt - now < request.minFreshSeconds * 1000) {
      return validate('request-min-fresh')
    }
  }
  if (fresh) return FRESH
  if (!policy.mayServeStale) return validate('stale')
  const staleMs = now - stored.freshUntilAt
  if (request.maxStaleSeconds !== undefined && staleMs <= request.maxStaleSeconds * 1000) {
    return STALE_ALLOWED
  }
  // RFC 5861 §3
  if (staleMs < policy.staleWhileRevalidateMs) return STALE_WHILE_REVALIDATE
  return validate('stale')
}

/** What went wrong when the origin was asked. */
export type OriginTrouble =
  /** An answer of status 500, 502, 503 or 504 (RFC 5861 §4). */
  | 'error-status'
  /** No answer, or none that can be read: the cache is disconnected (RFC 9111 §4.2.4). */
  | 'unreachable'

/** With nothing said, a disconnected cache uses what it has for this long beyond its freshness. */
const DISCONNECTED_STALE_MS = 86_400_000

/** May the stored response be used stale because the origin failed (RFC 5861 §4, RFC 9111 §4.2.4)? */
export function mayUseStaleOnError(
  stored: ReuseCandidate,
  request: CacheControl,
  trouble: OriginTrouble,
  now: number,
): boolean {
  if (!stored.policy.mayServeStale) return false
  // A client that asked for an answer from the origin gets the truth about the origin.
  if (request.noCache !== false) return false
  const staleMs = now - stored.freshUntilAt
  const asked = request.staleIfErrorSeconds
  if (asked !== undefined && staleMs <= asked * 1000) return true
  const { staleIfErrorMs } = stored.policy
  if (staleIfErrorMs !== undefined) return staleMs <= staleIfErrorMs
  return trouble === 'unreachable' && staleMs <= DISCONNECTED_STALE_MS
}

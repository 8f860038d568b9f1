import type { Fields } from '../http/fields.ts'
import { parseHttpDate } from '../http/http-date.ts'
import { type CacheControl, MAX_DELTA_SECONDS } from './cache-control.ts'
import type { CacheRule } from './cache-rule.ts'
import type { ResponseDirectives } from './targeted-cache-control.ts'

/** Where a freshness lifetime came from. */
export type FreshnessSource =
  | 'rule'
  | 's-maxage'
  | 'max-age'
  | 'expires'
  | 'default'
  | 'heuristic'
  | 'none'

export interface Freshness {
  readonly lifetimeMs: number
  readonly source: FreshnessSource
}

/** RFC 9110 §15.1: statuses that allow a heuristic lifetime. */
const HEURISTICALLY_CACHEABLE: ReadonlySet<number> = new Set([
  200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501,
])

/** Statuses for which an operator's `defaultTtl` speaks: what was asked for, or where it has gone for good. */
const DEFAULT_TTL_STATUSES: ReadonlySet<number> = new Set([200, 203, 206, 300, 301, 308, 410])

/** RFC 9111 §4.2.2 suggests 10 % of the time since Last-Modified; nothing is guessed fresh for more than a week. */
const HEURISTIC_FRACTION = 0.1
const MAX_HEURISTIC_MS = 7 * 86_400_000

/** The freshness lifetime of a response in this cache (RFC 9111 §4.2.1, §4.2.2), and what it rests on. */
export function freshnessLifetime(
  status: number,
  fields: Fields,
  controls: ResponseDirectives,
  rule: CacheRule,
  responseAt: number,
): Freshness {
  const explicit = rule.honourOriginDirectives
    ? explicitFreshness(fields, controls, responseAt)
    : undefined
  const freshness =
    explicit ?? implicitFreshness(status, fields, controls.directives, rule, responseAt)
  // The operator's numbers are for content. An error keeps the lifetime that its origin gave it.
  if (explicit === undefined && !DEFAULT_TTL_STATUSES.has(status)) return freshness
  if (rule.ttlMs !== undefined) return { lifetimeMs: rule.ttlMs, source: 'rule' }
  return clamp(freshness, rule)
}

/** True when a response of this status may be stored without the origin having said how long (RFC 9111 §3). */
export function isHeuristicallyCacheable(status: number): boolean {
  return HEURISTICALLY_CACHEABLE.has(status)
}

/** True when the origin itself said how long (RFC 9111 §3: the condition that lets any final status be stored). */
export function hasExplicitFreshness(fields: Fields, controls: ResponseDirectives): boolean {
  const { directives, source } = controls
  if (directives.sMaxAgeSeconds !== undefined || directives.maxAgeSeconds !== undefined) return true
  return source === 'cache-control' && fields.has('expires')
}

function explicitFreshness(
  fields: Fields,
  { source, directives }: ResponseDirectives,
  responseAt: number,
): Freshness | undefined {
  if (directives.sMaxAgeSeconds !== undefined) {
    return { lifetimeMs: directives.sMaxAgeSeconds * 1000, source: 's-maxage' }
  }
  if (directives.maxAgeSeconds !== undefined) {
    return { lifetimeMs: directives.maxAgeSeconds * 1000, source: 'max-age' }
  }
  if (source !== 'cache-control') return undefined
  const lines = fields.values('expires')
  if (lines.length === 0) return undefined
  // RFC 9111 §4.2.1: two different values leave nothing to rely on; §5.3: an invalid date, "0" among them, is the past.
  const expiresAt = lines.every((line) => line === lines[0])
    ? parseHttpDate(lines[0], responseAt)
    : undefined
  if (expiresAt === undefined) return { lifetimeMs: 0, source: 'expires' }
  const lifetimeMs = Math.max(0, expiresAt - responseDate(fields, responseAt))
  return { lifetimeMs: Math.min(lifetimeMs, MAX_DELTA_SECONDS * 1000), source: 'expires' }
}

function implicitFreshness(
  status: number,
  fields: Fields,
  directives: CacheControl,
  rule: CacheRule,
  responseAt: number,
): Freshness {
  if (rule.defaultTtlMs !== undefined && DEFAULT_TTL_STATUSES.has(status)) {
    return { lifetimeMs: rule.defaultTtlMs, source: 'default' }
  }
  // RFC 9111 §4.2.2: only for statuses defined as heuristically cacheable, or with `public`.
  if (HEURISTICALLY_CACHEABLE.has(status) || directives.public) {
    const lastModified = fields.get('last-modified')
    const lastModifiedAt =
      lastModified === undefined ? undefined : parseHttpDate(lastModified, responseAt)
    if (lastModifiedAt !== undefined) {
      const sinceChangeMs = responseDate(fields, responseAt) - lastModifiedAt
      const lifetimeMs = Math.min(Math.max(0, sinceChangeMs * HEURISTIC_FRACTION), MAX_HEURISTIC_MS)
      return { lifetimeMs: Math.floor(lifetimeMs / 1000) * 1000, source: 'heuristic' }
    }
  }
  return { lifetimeMs: 0, source: 'none' }
}

function clamp(freshness: Freshness, rule: CacheRule): Freshness {
  let { lifetimeMs } = freshness
  if (rule.minTtlMs !== undefined && lifetimeMs < rule.minTtlMs) lifetimeMs = rule.minTtlMs
  if (rule.maxTtlMs !== undefined && lifetimeMs > rule.maxTtlMs) lifetimeMs = rule.maxTtlMs
  return lifetimeMs === freshness.lifetimeMs ? freshness : { lifetimeMs, source: 'rule' }
}

/** Date of the response in epoch ms; when absent or invalid the moment it came (RFC 9110 §6.6.1). */
export function responseDate(fields: Fields, responseAt: number): number {
  const lines = fields.values('date')
  if (lines.length !== 1) return Math.floor(responseAt / 1000) * 1000
  return parseHttpDate(lines[0], responseAt) ?? Math.floor(responseAt / 1000) * 1000
}

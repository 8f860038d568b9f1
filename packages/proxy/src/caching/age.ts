import type { Fields } from '../http/fields.ts'
import { deltaSeconds } from './cache-control.ts'
import { responseDate } from './freshness.ts'

/**
 * The instant (epoch ms) from which a response's age counts: current_age = now − ageBase (RFC 9111 §4.2.3). One
 * subtraction and one rounding per answer, so an age is never rounded down twice.
 */
export function ageBase(fields: Fields, requestAt: number, responseAt: number): number {
  // corrected_age_value = age_value + response_delay
  const byAge = requestAt - ageValueSeconds(fields) * 1000
  // apparent_age in whole seconds, since Date has no finer grain: an origin's 11:00:00.9 says 11:00:00.
  const apparentSeconds = Math.floor((responseAt - responseDate(fields, responseAt)) / 1000)
  const byDate = responseAt - Math.max(0, apparentSeconds) * 1000
  return Math.min(byAge, byDate)
}

/**
 * False when Age says something that cannot be relied upon: several members, or no delta-seconds. Such a response counts
 * as stale at once. Stricter than RFC 9111 §5.1, which would use the first or ignore it; a wrong guess would serve old
 * content as new.
 */
export function hasUsableAge(fields: Fields): boolean {
  const lines = fields.values('age')
  return lines.length === 0 || (lines.length === 1 && deltaSeconds(lines[0]) !== undefined)
}

function ageValueSeconds(fields: Fields): number {
  return hasUsableAge(fields) ? (deltaSeconds(fields.get('age')) ?? 0) : 0
}

/** Value of the Age field, in seconds. */
export function currentAgeSeconds(ageBaseAt: number, now: number): number {
  return Math.max(0, Math.floor((now - ageBaseAt) / 1000))
}

import { parseEntityTagList, strongMatch, weakMatch } from './entity-tag.ts'
import type { Fields } from './fields.ts'
import { parseHttpDate } from './http-date.ts'

export type PreconditionResult = 'proceed' | 'not-modified' | 'precondition-failed'

export interface Validators {
  /** ETag as stored; undefined when there is none. */
  readonly entityTag: string | undefined
  /** Last-Modified as stored, when it is an HTTP-date. */
  readonly lastModified: string | undefined
  /** Epoch ms of its Date: stands in for a missing Last-Modified (RFC 9111 §4.3.2). */
  readonly dateAt: number
}

/**
 * Evaluates the preconditions of a GET or HEAD against the selected representation, in the order of RFC 9110
 * §13.2.2 (If-Range is the range's business). A cache leaves If-Match and If-Unmodified-Since to the origin
 * (RFC 9111 §4.3.2): requests with them do not come here.
 */
export function evaluatePreconditions(
  request: Fields,
  stored: Validators,
  now: number,
): PreconditionResult {
  const ifNoneMatch = request.get('if-none-match')
  if (ifNoneMatch !== undefined) {
    return matchesAny(ifNoneMatch, stored.entityTag) ? 'not-modified' : 'proceed'
  }
  const ifModifiedSince = request.get('if-modified-since')
  if (ifModifiedSince === undefined) return 'proceed'
  return isUnmodifiedSince(ifModifiedSince, stored, now) ? 'not-modified' : 'proceed'
}

/** RFC 9110 §13.1.3: the field is ignored when it is no valid date, or a list. */
export function isUnmodifiedSince(
  ifModifiedSince: string,
  stored: Validators,
  now: number,
): boolean {
  const since = parseHttpDate(ifModifiedSince, now)
  if (since === undefined) return false
  const modifiedAt =
    stored.lastModified === undefined ? stored.dateAt : parseHttpDate(stored.lastModified, now)
  return modifiedAt !== undefined && modifiedAt <= since
}

/** RFC 9110 §13.1.2: weak comparison; `*` matches any current representation. */
export function matchesAny(ifNoneMatch: string, entityTag: string | undefined): boolean {
  const tags = parseEntityTagList(ifNoneMatch)
  if (tags === '*') return true
  return entityTag !== undefined && tags.some((tag) => weakMatch(tag, entityTag))
}

/**
 * RFC 9110 §13.1.5: true when the Range applies. A weak tag never matches; a date counts only when it equals a
 * Last-Modified that is strong (§8.8.2.2: at least one second before Date).
 */
export function ifRangeHolds(
  ifRange: string | undefined,
  stored: Validators,
  now: number,
): boolean {
  if (ifRange === undefined) return true
  if (ifRange.includes('"')) {
    return stored.entityTag !== undefined && strongMatch(ifRange.trim(), stored.entityTag)
  }
  if (stored.lastModified === undefined) return false
  const asked = parseHttpDate(ifRange, now)
  const lastModifiedAt = parseHttpDate(stored.lastModified, now)
  if (asked === undefined || lastModifiedAt === undefined) return false
  return asked === lastModifiedAt && stored.dateAt - lastModifiedAt >= 1000
}

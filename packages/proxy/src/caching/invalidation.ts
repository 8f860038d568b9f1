import { parseAuthority } from '../http/authority.ts'
import type { Fields } from '../http/fields.ts'
import { isSafe } from '../http/methods.ts'
import { normaliseTarget } from '../http/request-target.ts'

/**
 * Targets (`path?query`) to invalidate after a response to an unsafe method (RFC 9111 §4.4): the request's own, and
 * those of Location and Content-Location when they are of the same origin. Unknown methods count as unsafe.
 */
export function invalidatedTargets(
  method: string,
  scheme: 'http' | 'https',
  authority: string,
  target: string,
  status: number,
  responseFields: Fields,
): string[] {
  // RFC 9111 §4.4: a non-error response is a 2xx or 3xx.
  if (isSafe(method) || status < 200 || status >= 400) return []
  const targets = new Set([target])
  for (const name of ['location', 'content-location']) {
    const reference = responseFields.get(name)
    if (reference === undefined) continue
    const resolved = resolveSameOrigin(reference, scheme, authority, target)
    if (resolved !== undefined) targets.add(resolved)
  }
  return [...targets]
}

/** The normalised target of a URI reference when its origin is the request's own; undefined otherwise. */
export function resolveSameOrigin(
  reference: string,
  scheme: 'http' | 'https',
  authority: string,
  target: string,
): string | undefined {
  const base = `${scheme}://${authority}${target === '*' ? '/' : target}`
  if (!URL.canParse(reference, base)) return undefined
  const url = new URL(reference, base)
  if (url.protocol !== `${scheme}:` || url.username !== '' || url.password !== '') return undefined
  // RFC 9111 §4.4: MUST NOT invalidate URIs of another origin.
  if (parseAuthority(url.host, scheme)?.text !== authority) return undefined
  return normaliseTarget(url.pathname + url.search) ?? undefined
}

import type { RedirectConfig } from '../config/config.ts'
import { parseAuthority } from '../http/authority.ts'
import type { RequestHead } from '../transport/exchange.ts'
import { compilePathPattern } from './path-matcher.ts'

/** Sends requests by plain HTTP to the same URL by HTTPS. */
export interface HttpsRedirect {
  statusFor(method: string): number
  /** null for what stays where it is. */
  locationFor(request: RequestHead): string | null
}

/** RFC 8555 §8.3: the authority that validates comes by plain HTTP, and there may be no certificate yet. */
const ACME_CHALLENGES = '/.well-known/acme-challenge/'

/** `httpsPort`: where clients find HTTPS when the configuration does not say. */
export function compileRedirect(
  redirect: RedirectConfig | undefined,
  httpsPort: () => number,
): HttpsRedirect | null {
  if (redirect === undefined) return null
  const { status, except, port } = redirect
  const exempt = except.map(compilePathPattern)
  return {
    // RFC 9110 §15.4.2: with 301 a client may turn POST into GET, with 308 it may not (§15.4.9).
    statusFor: (method) => status ?? (method === 'GET' || method === 'HEAD' ? 301 : 308),
    locationFor({ authority, target }) {
      // The asterisk of OPTIONS names no resource.
      if (!target.startsWith('/')) return null
      const mark = target.indexOf('?')
      const path = mark < 0 ? target : target.slice(0, mark)
      if (path.startsWith(ACME_CHALLENGES) || exempt.some((matches) => matches(path))) return null
      const host = parseAuthority(authority, 'http')?.host
      if (host === undefined) return null
      const at = port ?? httpsPort()
      return `https://${host}${at === 443 ? '' : `:${at}`}${target}`
    },
  }
}

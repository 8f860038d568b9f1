import type { HstsConfig } from '../config/config.ts'
import type { Fields } from '../http/fields.ts'
import type { Transaction } from './transaction.ts'

export const STRICT_TRANSPORT = 'strict-transport-security'

/** The value of Strict-Transport-Security (RFC 6797 §6.1). */
export function strictTransportOf(hsts: HstsConfig | undefined): string | null {
  if (hsts === undefined) return null
  const { maxAgeSeconds, includeSubDomains, preload } = hsts
  const directives = [`max-age=${maxAgeSeconds}`]
  if (includeSubDomains) directives.push('includeSubDomains')
  if (preload) directives.push('preload')
  return directives.join('; ')
}

/** One field with our value, whatever the origin has said (RFC 6797 §7.1), and over TLS alone (§7.2). */
export function addStrictTransport(
  fields: Fields,
  { tenant, request, fromPeer }: Transaction,
): void {
  if (fromPeer || request.scheme !== 'https') return
  const value = tenant?.strictTransport ?? null
  if (value !== null) fields.set(STRICT_TRANSPORT, value)
}

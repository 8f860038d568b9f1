import 'reflect-metadata'
import { X509Certificate } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { type RenewalWindow, readRenewalWindow } from './resources.ts'
import type { AcmeSession } from './session.ts'

export interface RenewalInfo {
  readonly window: RenewalWindow
  /** When to ask again, ms from now. */
  readonly retryAfterMs: number
}

/** RFC 9773 §4.3.3 leaves it to the client what to do without Retry-After. */
const ASK_AGAIN_MS = 6 * 3_600_000
/** RFC 9773 §4.3.2: bounds for what the authority says. */
const MIN_ASK_AGAIN_MS = 60_000
const MAX_ASK_AGAIN_MS = 86_400_000

/**
 * How the authority knows a certificate: key identifier of its issuer and serial number, as the octets of their DER
 * (RFC 9773 §4.1). null when the certificate names no key of its issuer.
 */
export function certificateIdentifier(certPem: string): string | null {
  const { raw, serialNumber } = new X509Certificate(certPem)
  const extension = new x509.X509Certificate(raw).getExtension(x509.AuthorityKeyIdentifierExtension)
  const { keyId } = extension ?? {}
  if (keyId === undefined) return null
  const serial = Buffer.from(
    serialNumber.length % 2 === 0 ? serialNumber : `0${serialNumber}`,
    'hex',
  )
  // DER keeps a number positive by a zero in front; node:crypto prints it without.
  const octets = serial[0] >= 0x80 ? Buffer.concat([Buffer.from([0]), serial]) : serial
  return `${Buffer.from(keyId, 'hex').toString('base64url')}.${octets.toString('base64url')}`
}

/** When the authority would like it to be renewed; null when it does not say such things. */
export async function renewalInfo(
  session: AcmeSession,
  identifier: string,
  signal: AbortSignal,
): Promise<RenewalInfo | null> {
  const { renewalInfo: base } = await session.directory(signal)
  if (base === undefined) return null
  const url = `${base.replace(/\/$/, '')}/${identifier}`
  const { body, retryAfterMs = ASK_AGAIN_MS } = await session.get(url, signal)
  return {
    window: readRenewalWindow(body, url),
    retryAfterMs: Math.min(Math.max(retryAfterMs, MIN_ASK_AGAIN_MS), MAX_ASK_AGAIN_MS),
  }
}

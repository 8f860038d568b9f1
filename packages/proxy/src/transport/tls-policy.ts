import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'

/** What a TLS connection may consist of, by name; `docs/certificates.md` shows the lists. */
export type TlsPolicyName = 'modern' | 'intermediate'

export interface TlsPolicy {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** In our order of preference, by the names of OpenSSL. */
  readonly suites: readonly string[]
  /** Key exchange, likewise. */
  readonly groups: readonly string[]
}

const SUITES_13 = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
]

/** Forward secrecy and AEAD only (RFC 9325 §4.2). */
const SUITES_12 = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
]

/** The first is for those who fear that someone keeps today's connections for tomorrow's computers. */
const GROUPS = ['X25519MLKEM768', 'X25519', 'prime256v1', 'secp384r1']

/** After the configurations of that name in Mozilla's "Server Side TLS", without finite-field Diffie-Hellman. */
export const TLS_POLICIES: Readonly<Record<TlsPolicyName, TlsPolicy>> = {
  modern: { minVersion: 'TLSv1.3', suites: SUITES_13, groups: GROUPS },
  intermediate: { minVersion: 'TLSv1.2', suites: [...SUITES_13, ...SUITES_12], groups: GROUPS },
}

/**
 * Options for every context that a listener serves with. Where Mozilla lets the client choose among the suites, the
 * order here is ours, because AES-128 costs a server less than the AES-256 that most libraries put first; a client that
 * puts ChaCha20 first has no AES in hardware, and gets ChaCha20.
 *
 * `ticketSeconds`: how long a session may be resumed (RFC 8446 §4.6.1).
 */
export function contextOptions(name: TlsPolicyName, ticketSeconds: number): SecureContextOptions {
  const { minVersion, suites, groups } = TLS_POLICIES[name]
  return {
    minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: suites.join(':'),
    ecdhCurve: groups.join(':'),
    honorCipherOrder: true,
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION |
      constants.SSL_OP_NO_COMPRESSION |
      constants.SSL_OP_PRIORITIZE_CHACHA,
    sessionIdContext: 'larder',
    sessionTimeout: ticketSeconds,
  }
}

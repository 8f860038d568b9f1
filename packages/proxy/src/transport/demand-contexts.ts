import { createHash } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { ClientCertificateDemand, ServerPairs } from './tls-front.ts'

/** Contexts take some 10 KiB each; those that have not been used for longest are made again when they are. */
const MAX_CONTEXTS = 1000
/** A certificate that has been withdrawn is looked at again so soon. */
const MAX_TICKET_SECONDS = 3600

/**
 * Contexts for names whose clients are asked for a certificate: the certificates of the name together with the
 * authorities of the demand. OpenSSL resumes a session only where its id context is the same one, which here is that of
 * the demand: what a client has shown elsewhere, or under another configuration, counts for nothing.
 */
export class DemandContexts {
  readonly #contexts = new Map<string, SecureContext | null>()

  of(
    { id, version, pairs }: ServerPairs,
    demand: ClientCertificateDemand,
    options: SecureContextOptions,
  ): SecureContext | null {
    const key = JSON.stringify([id, version, demand.id, options.minVersion])
    let context = this.#contexts.get(key)
    if (context === undefined) {
      context = createSecureContext({
        ...options,
        cert: pairs.map(({ certPem }) => certPem),
        key: pairs.map(({ keyPem }) => keyPem),
        ca: demand.caPem,
        sessionIdContext: sessionIdContext(demand),
        sessionTimeout: Math.min(options.sessionTimeout ?? MAX_TICKET_SECONDS, MAX_TICKET_SECONDS),
      })
    } else this.#contexts.delete(key)
    this.#contexts.set(key, context)
    if (this.#contexts.size > MAX_CONTEXTS) {
      const [oldest] = this.#contexts.keys()
      this.#contexts.delete(oldest)
    }
    return context
  }
}

/** 32 characters at most. */
function sessionIdContext(demand: ClientCertificateDemand): string {
  return createHash('sha256').update(demand.id).digest('base64url').slice(0, 32)
}

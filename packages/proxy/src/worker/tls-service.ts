import type { SecureContextOptions } from 'node:tls'
import type { TicketKeySet } from '@larder/certs'
import type { Config } from '../config/config.ts'
import type { Tenant } from '../pipeline/site.ts'
import {
  createSecureFront,
  type SecureFront,
  type SecureFrontOptions,
  type ServerPairs,
} from '../transport/tls-front.ts'
import { contextOptions } from '../transport/tls-policy.ts'

export interface TlsServiceOptions {
  readonly config: Config
  /** As `SecureFrontOptions` has it. */
  contextFor: SecureFrontOptions['contextFor']
  pairsFor(serverName: string): ServerPairs | null | Promise<ServerPairs | null>
  tenantOf(host: string): Tenant | undefined
  /** A handshake that was refused for what the client has shown. */
  onRefused(reason: string): void
}

/** A ticket is opened for two rotations after its key was put away; this is what clients are told, at most. */
const MAX_TICKET_SECONDS = 86_400

/** What TLS of a worker is made of, but for the certificates: policy, tickets, what clients are asked for. */
export class TlsService {
  readonly front: SecureFront
  /** For every context that is served with; another object after a change, the same one without. */
  contextOptions: SecureContextOptions
  #tls: Config['tls']

  constructor(options: TlsServiceOptions) {
    const { config } = options
    this.#tls = config.tls
    this.contextOptions = optionsOf(config)
    this.front = createSecureFront({
      contextFor: options.contextFor,
      alpn: ['h2', 'http/1.1'],
      clientCertificates: {
        demandFor: (serverName) => options.tenantOf(serverName)?.config.clientCertificate ?? null,
        pairsFor: (serverName) => options.pairsFor(serverName),
        contextOptions: () => this.contextOptions,
      },
      onRefused: options.onRefused,
    })
  }

  /** To be called before the certificates are configured: they take `contextOptions`. */
  configure(config: Config): void {
    const { policy, ticketRotationMs } = config.tls
    if (policy !== this.#tls.policy || ticketRotationMs !== this.#tls.ticketRotationMs) {
      this.contextOptions = optionsOf(config)
    }
    this.#tls = config.tls
  }

  setTicketKeys(keys: TicketKeySet): void {
    this.front.setTicketKeys(keys)
  }
}

function optionsOf({ tls }: Config): SecureContextOptions {
  const ticketSeconds = Math.floor((2 * tls.ticketRotationMs) / 1000)
  return contextOptions(tls.policy, Math.min(ticketSeconds, MAX_TICKET_SECONDS))
}

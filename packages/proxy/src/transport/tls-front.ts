import type { Socket } from 'node:net'
import { type SecureContext, type SecureContextOptions, TLSSocket } from 'node:tls'
import type { TicketKeySet } from '@larder/certs'
import { type ClientCertificate, verifiedCertificate } from './client-certificate.ts'
import { DemandContexts } from './demand-contexts.ts'
import { readHello, type WholeHello } from './read-hello.ts'
import { TicketKeys } from './ticket-keys.ts'

export interface SecureFrontOptions {
  /**
   * The context for a name (lower case), or for a client that sent none; null refuses the handshake. Asked at each
   * handshake, so what it returns can change at any time; when it takes its time, the deadline of the handshake bounds
   * it. Versions and suites are those of the context.
   */
  contextFor(serverName: string | undefined): SecureContext | null | Promise<SecureContext | null>
  /** In our order of preference. */
  readonly alpn: readonly string[]
  /** Names whose clients are asked for a certificate; nobody is without it. */
  readonly clientCertificates?: ClientCertificateOptions
  /** Validation of names by TLS-ALPN-01 (RFC 8737); none without it. */
  readonly challenges?: ChallengeOptions
  /** A handshake that was complete but for what we ask of clients; `reason` in one word, for a counter. */
  onRefused?(reason: string): void
}

export interface ClientCertificateOptions {
  /** What is asked of clients that ask for this name; null = nothing. */
  demandFor(serverName: string): ClientCertificateDemand | null
  /** The certificates of a name, from which a context with the demand's authorities is made; null refuses. */
  pairsFor(serverName: string): ServerPairs | null | Promise<ServerPairs | null>
  /** Versions, suites and the like, as those of `contextFor` have them. */
  contextOptions(): SecureContextOptions
}

/** What a client has to show. */
export interface ClientCertificateDemand {
  /** Differs between any two tenants, modes and authorities: a session of another demand is not resumed. */
  readonly id: string
  /** `request`: who has none, or one that does not verify, is served as nobody in particular. */
  readonly mode: 'request' | 'require'
  /** The authorities whose certificates are accepted. */
  readonly caPem: string
}

/** Certificates for the same names, with keys of different kinds. */
export interface ServerPairs {
  readonly id: string
  readonly version: number
  readonly pairs: readonly { readonly certPem: string; readonly keyPem: string }[]
}

export interface ChallengeOptions {
  /** Whether any validation is under way. Asked at each handshake. */
  hasChallenges(): boolean
  /** The certificate that answers the validation of this name; null when none is under way. */
  challengeContextFor(serverName: string): SecureContext | null
}

/** What the handshake has told of the client. */
export interface SecuredClient {
  /** SNI in lower case. */
  readonly serverName: string | undefined
  /** Verified against the authorities of the name's demand. */
  readonly certificate: ClientCertificate | null
}

/** Turns accepted sockets into TLS connections; shared by all listeners of a worker. */
export interface SecureFront {
  /**
   * Starts a handshake; `onSecure` comes when it is done. When it fails the socket closes, and nothing else is said:
   * the caller bounds the time by destroying the socket.
   */
  handshake(socket: Socket, onSecure: (secured: TLSSocket, client: SecuredClient) => void): void
  /** Alike in all workers, so that a client resumes with any of them. Until then the keys are of this front alone. */
  setTicketKeys(keys: TicketKeySet): void
}

/** RFC 8737 §6.2 */
const ACME_TLS = 'acme-tls/1'

/** Alerts (RFC 8446 §6.2): no certificate for this name, and no name to look for. */
const UNRECOGNIZED_NAME = 112
const MISSING_EXTENSION = 109

export function createSecureFront(options: SecureFrontOptions): SecureFront {
  return new Front(options)
}

/**
 * The hello is read before OpenSSL sees it, because what it decides has to be known by then: OpenSSL looks at tickets
 * before it looks for a certificate, and for a resumed session not at certificates at all. So a connection begins in the
 * context of its name, with everything in it: certificates of each kind, demands, ticket keys. And a client without a
 * name that we know, or without a hello, costs no TLS state.
 */
class Front implements SecureFront {
  readonly #options: SecureFrontOptions
  readonly #tickets = new TicketKeys()
  readonly #demandContexts = new DemandContexts()

  constructor(options: SecureFrontOptions) {
    this.#options = options
  }

  setTicketKeys(keys: TicketKeySet): void {
    this.#tickets.set(keys)
  }

  handshake(socket: Socket, onSecure: (secured: TLSSocket, client: SecuredClient) => void): void {
    readHello(socket, (hello) => {
      if (hello.kind === 'invalid') return refuse(socket, hello.alert)
      const { serverName } = hello
      if (this.#answersChallenge(socket, hello)) return
      const demand = this.#demandFor(serverName)
      const found = this.#contextFor(serverName, demand)
      const begin = (context: SecureContext | null) => {
        if (socket.destroyed) return
        if (context !== null) return this.#begin(socket, context, serverName, demand, onSecure)
        refuse(socket, serverName === undefined ? MISSING_EXTENSION : UNRECOGNIZED_NAME)
      }
      if (found instanceof Promise) found.then(begin, (error) => begin(noContext(error)))
      else begin(found)
    })
  }

  #begin(
    socket: Socket,
    context: SecureContext,
    serverName: string | undefined,
    demand: ClientCertificateDemand | null,
    onSecure: (secured: TLSSocket, client: SecuredClient) => void,
  ): void {
    const { alpn, onRefused } = this.#options
    this.#tickets.applyTo(context)
    const secured = new TLSSocket(socket, {
      isServer: true,
      secureContext: context,
      requestCert: demand !== null,
      rejectUnauthorized: demand?.mode === 'require',
      // Nothing in common: undefined makes Node send no_application_protocol (RFC 7301 §3.2).
      ALPNCallback: ({ protocols }) => alpn.find((protocol) => protocols.includes(protocol)),
    })
    closeTogether(socket, secured)
    // Half-open as the socket is, it would wait for the rest of the handshake.
    const cut = () => secured.destroy()
    secured.on('end', cut)
    // 'secure', and '_tlsError' for a broken record later on, are what tls.Server itself listens to. It is not used
    // because it allows no choice of context, and does not say which socket it secured.
    secured.on('secure', () => {
      secured.off('end', cut)
      if (secured.destroyed) return
      // The name that we have read and the one that OpenSSL has read must not differ. A session of TLS 1.2 that is
      // resumed has the name that it began with.
      if (!secured.isSessionReused() && nameOf(secured) !== serverName) {
        secured.destroy()
        return
      }
      const certificate = demand === null ? null : verifiedCertificate(secured, demand.id)
      if (demand?.mode === 'require' && certificate === null) {
        onRefused?.('client-certificate')
        secured.destroy()
        return
      }
      onSecure(secured, { serverName, certificate })
    })
    secured.on('_tlsError', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') {
        onRefused?.('client-certificate')
      }
      secured.destroy()
    })
  }

  /** RFC 8737 §3: only for who offers nothing else; the connection has served its purpose with the handshake. */
  #answersChallenge(socket: Socket, hello: Extract<WholeHello, { kind: 'hello' }>): boolean {
    const { challenges } = this.#options
    const { serverName, protocols } = hello
    if (challenges === undefined || protocols.length !== 1 || protocols[0] !== ACME_TLS)
      return false
    if (serverName === undefined || !challenges.hasChallenges()) return false
    const context = orNull(() => challenges.challengeContextFor(serverName))
    if (context === null) {
      refuse(socket, UNRECOGNIZED_NAME)
      return true
    }
    const secured = new TLSSocket(socket, {
      isServer: true,
      secureContext: context,
      ALPNCallback: () => ACME_TLS,
    })
    closeTogether(socket, secured)
    secured.on('secure', () => secured.end())
    secured.on('_tlsError', () => secured.destroy())
    // To see the end.
    secured.resume()
    return true
  }

  #demandFor(serverName: string | undefined): ClientCertificateDemand | null {
    const { clientCertificates } = this.#options
    if (serverName === undefined || clientCertificates === undefined) return null
    return clientCertificates.demandFor(serverName)
  }

  #contextFor(
    serverName: string | undefined,
    demand: ClientCertificateDemand | null,
  ): SecureContext | null | Promise<SecureContext | null> {
    const { contextFor, clientCertificates } = this.#options
    return orNull(() => {
      if (serverName === undefined || demand === null || clientCertificates === undefined) {
        return contextFor(serverName)
      }
      const found = clientCertificates.pairsFor(serverName)
      const make = (pairs: ServerPairs | null) =>
        pairs === null
          ? null
          : this.#demandContexts.of(pairs, demand, clientCertificates.contextOptions())
      return found instanceof Promise ? found.then(make) : make(found)
    })
  }
}

/** Nothing of TLS has been said yet, so the alert goes out in clear. */
function refuse(socket: Socket, alert: number | undefined): void {
  if (alert !== undefined) socket.write(Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, alert]))
  socket.destroy()
}

function closeTogether(socket: Socket, secured: TLSSocket): void {
  secured.on('error', () => socket.destroy())
  secured.on('close', () => socket.destroy())
}

function nameOf(secured: TLSSocket): string | undefined {
  // The type says string, false or null, by role and moment; only a name counts.
  return secured.servername ? secured.servername.toLowerCase() : undefined
}

/** A mistake in a store costs a handshake, not the worker. */
function orNull<Result>(question: () => Result): Result | null {
  try {
    return question()
  } catch (error) {
    return noContext(error)
  }
}

function noContext(error: unknown): null {
  process.emitWarning(error instanceof Error ? error : new Error(String(error)))
  return null
}

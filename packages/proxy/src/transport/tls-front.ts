import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'

export interface SecureFrontOptions {
  /**
   * The certificate for a name (lower case), or for a client that sent none; null refuses the handshake. Asked at each
   * handshake, so what it returns can change at any time; a promise does not reject. `signatures` says what the client
   * can verify, while its certificate is being chosen.
   */
  contextFor(
    serverName: string | undefined,
    signatures?: () => readonly string[],
  ): SecureContext | null | Promise<SecureContext | null>
  /** In our order of preference. */
  readonly alpn: readonly string[]
}

/** Turns accepted sockets into TLS connections; shared by all listeners of a worker. */
export interface SecureFront {
  /**
   * Starts a handshake; `onSecure` comes when it is done. When it fails the socket closes, and nothing else is said:
   * the caller bounds the time by destroying the socket.
   */
  handshake(socket: Socket, onSecure: (secured: TLSSocket) => void): void
  /** 48 octets, alike in all workers, so that a client resumes with any of them (RFC 8446 §4.6.1, RFC 5077). */
  setTicketKeys(keys: Buffer): void
}

/** Forward secrecy and AEAD only: the suites of TLS 1.3, and what TLS 1.2 has that is as good (RFC 9325 §4.2). */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** A TLS record with the fatal alert unrecognized_name (RFC 8446 §6.2, RFC 6066 §3). */
const UNRECOGNIZED_NAME = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 112])

export function createSecureFront(options: SecureFrontOptions): SecureFront {
  // Versions, suites and tickets follow the context that a connection begins with; only the certificate is another's.
  let base = baseContext(undefined)
  // Nothing in common: undefined makes Node send no_application_protocol (RFC 7301 §3.2).
  const ALPNCallback = ({ protocols }: { protocols: string[] }) =>
    options.alpn.find((protocol) => protocols.includes(protocol))
  const begin = (
    socket: Socket,
    nameless: SecureContext | null,
    onSecure: (secured: TLSSocket) => void,
  ) => {
    const secured = new TLSSocket(socket, {
      isServer: true,
      secureContext: base,
      ALPNCallback,
      SNICallback(serverName, done) {
        const answer = (context: SecureContext | null) => {
          // The client has gone while it waited.
          if (secured.destroyed) return
          if (context !== null) return done(null, context)
          // Node would close without a word. We have said nothing yet, so the alert goes out in clear.
          socket.write(UNRECOGNIZED_NAME)
          secured.destroy()
        }
        const signatures = () => (secured.destroyed ? [] : secured.getSharedSigalgs())
        const context = contextOrNull(options, serverName.toLowerCase(), signatures)
        if (context instanceof Promise) void context.then(answer)
        else answer(context)
      },
    })
    // For clients without SNI: the callback above is not called for them.
    if (nameless !== null) secured.setKeyCert(nameless)
    // 'secure', and '_tlsError' for a broken record later on, are what tls.Server itself listens to. It is not used
    // because it allows no choice of certificate without SNI, and does not say which socket it secured.
    secured.on('secure', () => {
      if (!secured.destroyed) onSecure(secured)
    })
    secured.on('_tlsError', () => secured.destroy())
    secured.on('error', () => socket.destroy())
    secured.on('close', () => socket.destroy())
  }
  return {
    handshake(socket, onSecure) {
      const nameless = contextOrNull(options, undefined)
      if (!(nameless instanceof Promise)) return begin(socket, nameless, onSecure)
      // Only until the certificate for nobody's name is there. Nothing is read from the socket meanwhile.
      const cut = () => socket.destroy()
      socket.on('error', cut)
      void nameless.then((context) => {
        socket.off('error', cut)
        if (!socket.destroyed) begin(socket, context, onSecure)
      })
    },
    setTicketKeys(keys) {
      base = baseContext(keys)
    },
  }
}

function baseContext(ticketKeys: Buffer | undefined): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
    sessionIdContext: 'larder',
    ticketKeys,
  })
}

/** An exception inside OpenSSL's callback would end the process. */
function contextOrNull(
  options: SecureFrontOptions,
  serverName: string | undefined,
  signatures?: () => readonly string[],
): SecureContext | null | Promise<SecureContext | null> {
  try {
    return options.contextFor(serverName, signatures)
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : new Error(String(error)))
    return null
  }
}

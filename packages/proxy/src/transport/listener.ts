import { type AddressInfo, type BlockList, createServer, isIPv6, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../http/clock.ts'
import {
  ConnectionRegistry,
  type EngineConnection,
  type RegisteredConnection,
} from './connection-registry.ts'
import type { ClientFacts, FrontDoor } from './exchange.ts'
import { serveHttp1 } from './h1/connection.ts'
import type { TransportLimits } from './limits.ts'
import { type ProxySource, parseProxyHeader } from './proxy-protocol.ts'
import { Deadline, type TimerWheel } from './timer-wheel.ts'
import type { SecureFront } from './tls-front.ts'

export type Engine = (socket: Duplex, client: ClientFacts, initialData?: Buffer) => EngineConnection

/** Read anew for each connection: with getters, a changed configuration holds for the next one. */
export interface ListenerOptions {
  readonly secure: false | SecureFront
  /** When set, every connection must begin with a PROXY header, and come from one of the trusted addresses. */
  readonly proxyProtocol: null | { readonly trusted: BlockList }
  readonly door: FrontDoor
  readonly limits: TransportLimits
  readonly clock: Clock
  readonly wheel: TimerWheel
  /** Serves connections whose ALPN says h2; the secure front must offer h2 only when it is there. */
  readonly http2: Engine | null
  /** Whether a plain connection that begins with the preface of HTTP/2 gets HTTP/2 (RFC 9113 §3.3). */
  readonly http2PriorKnowledge?: boolean
  /** Serves all others; the HTTP/1.1 engine unless another is given. */
  readonly http1?: Engine
}

/** An address, or a listening handle that was received from another process. */
export type ListenTarget = { readonly host: string; readonly port: number } | object

export interface FrontListener {
  /** Settles when connections are accepted, or cannot be. */
  readonly ready: Promise<AddressInfo>
  readonly connectionCount: number
  /** Connections turned away since the start: too many, untrusted, no PROXY header; and failures to accept. */
  readonly refusedCount: number
  /** Stops accepting; what is connected stays. */
  close(): void
  /** Stops accepting, lets every connection finish, and cuts what is left after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>
}

export function listen(target: ListenTarget, options: ListenerOptions): FrontListener {
  return new Listener(target, options)
}

const BACKLOG = 4096
const EMPTY = Buffer.alloc(0)
/** RFC 9113 §3.4 */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

class Listener implements FrontListener {
  readonly ready: Promise<AddressInfo>
  refusedCount = 0
  readonly #options: ListenerOptions
  readonly #registry = new ConnectionRegistry()
  readonly #http1: Engine
  readonly #server = createServer({ allowHalfOpen: true, noDelay: true })
  #draining = false

  constructor(target: ListenTarget, options: ListenerOptions) {
    this.#options = options
    this.#http1 =
      options.http1 ??
      ((socket, client, initialData) => {
        const { door, limits, clock, wheel } = options
        return serveHttp1(socket, client, { door, limits, clock, wheel, initialData })
      })
    this.#server.on('connection', (socket: Socket) => this.#accept(socket))
    this.ready = new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.once('listening', () => {
        this.#server.off('error', reject)
        // Out of descriptors, above all: the connection waits in the kernel's queue or is dropped there, we go on.
        this.#server.on('error', () => this.refusedCount++)
        const address = this.#server.address()
        if (typeof address === 'object' && address !== null) resolve(address)
        else reject(new Error('The listener has no IP address. Give it a TCP socket.'))
      })
    })
    if ('host' in target && 'port' in target) {
      this.#server.listen({ ...target, reusePort: true, backlog: BACKLOG })
    } else this.#server.listen(target, BACKLOG)
  }

  get connectionCount(): number {
    return this.#registry.size
  }

  close(): void {
    if (this.#server.listening) this.#server.close()
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true
    const deadline = new Deadline(this.#options.wheel, () => this.#registry.destroy())
    deadline.arm(deadlineMs)
    this.#registry.drain()
    // One more look into the kernel's queue: who waits there has been promised a connection, and closing resets it.
    await onePoll()
    this.close()
    await this.#registry.empty()
    deadline.release()
  }

  #accept(socket: Socket): void {
    const { proxyProtocol, limits } = this.#options
    const entry = this.#registry.add(limits.maxConnections, () => socket.destroy())
    if (entry === null) {
      this.#turnAway(socket)
      return
    }
    // Always followed by 'close'.
    socket.on('error', () => {})
    socket.on('close', () => this.#registry.remove(entry))
    const { remoteAddress } = socket
    // Gone before we looked.
    if (remoteAddress === undefined) socket.destroy()
    else if (proxyProtocol === null) {
      this.#admit(socket, entry, plainFacts(socket, null), EMPTY)
    } else if (isTrusted(proxyProtocol.trusted, remoteAddress)) this.#readProxyHeader(socket, entry)
    else this.#turnAway(socket)
  }

  #turnAway(socket: Socket): void {
    this.refusedCount++
    socket.on('error', () => {})
    socket.destroy()
  }

  #readProxyHeader(socket: Socket, entry: RegisteredConnection): void {
    this.#readAhead(socket, EMPTY, (bytes) => {
      // Bounded by the longest header: the parser decides by then.
      const header = parseProxyHeader(bytes)
      if (header.kind === 'more') return false
      if (header.kind === 'invalid') this.#turnAway(socket)
      else {
        const facts = plainFacts(socket, header.source)
        this.#admit(socket, entry, facts, bytes.subarray(header.length))
      }
      return true
    })
  }

  #admit(
    socket: Socket,
    entry: RegisteredConnection,
    client: ClientFacts,
    initialData: Buffer,
  ): void {
    const { secure, limits, http2, http2PriorKnowledge } = this.#options
    const { address } = client
    if (!this.#registry.countAddress(entry, address, limits.maxConnectionsPerAddress)) {
      this.#turnAway(socket)
    } else if (secure !== false) this.#secure(secure, socket, entry, client, initialData)
    else if (http2 !== null && http2PriorKnowledge) {
      this.#readAhead(socket, initialData, (bytes) => {
        const same = Math.min(bytes.length, PREFACE.length)
        const alike = bytes.compare(PREFACE, 0, same, 0, same) === 0
        if (alike && same < PREFACE.length) return false
        this.#begin(entry, (alike ? http2 : this.#http1)(socket, client, bytes))
        return true
      })
    } else {
      const bytes = initialData.length > 0 ? initialData : undefined
      this.#begin(entry, this.#http1(socket, client, bytes))
    }
  }

  #secure(
    secure: SecureFront,
    socket: Socket,
    entry: RegisteredConnection,
    client: ClientFacts,
    initialData: Buffer,
  ): void {
    const deadline = this.#giveUpAfter(socket, this.#options.limits.tlsHandshakeTimeoutMs)
    if (initialData.length > 0) socket.unshift(initialData)
    secure.handshake(socket, (secured, { serverName, certificate }) => {
      deadline.release()
      this.#serveSecured(secured, entry, { ...client, serverName, certificate })
    })
  }

  /** Collects the first octets until `decide` has seen enough and taken the socket over; cuts it if that takes long. */
  #readAhead(socket: Socket, initialData: Buffer, decide: (bytes: Buffer) => boolean): void {
    let received = initialData
    if (received.length > 0 && decide(received)) return
    const deadline = this.#giveUpAfter(socket, this.#options.limits.headerTimeoutMs)
    const onReadable = () => {
      const chunk: Buffer | null = socket.read()
      if (chunk === null) return
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      // Off first: who takes the socket over listens in another mode.
      socket.off('readable', onReadable)
      socket.off('end', onEnd)
      if (decide(received)) {
        deadline.release()
        return
      }
      socket.on('readable', onReadable)
      socket.on('end', onEnd)
    }
    const onEnd = () => this.#turnAway(socket)
    socket.on('readable', onReadable)
    socket.on('end', onEnd)
  }

  #serveSecured(secured: TLSSocket, entry: RegisteredConnection, client: ClientFacts): void {
    const facts: ClientFacts = {
      ...client,
      secure: true,
      tlsVersion: secured.getProtocol() ?? undefined,
    }
    entry.destroy = () => secured.destroy()
    const { http2 } = this.#options
    const engine = secured.alpnProtocol === 'h2' && http2 !== null ? http2 : this.#http1
    this.#begin(entry, engine(secured, facts))
  }

  /** A connection that was accepted before a drain is served, however late its handshake ends: once. */
  #begin(entry: RegisteredConnection, engine: EngineConnection): void {
    entry.engine = engine
    if (this.#draining) engine.drain()
  }

  /** The total time for what comes before HTTP; a client cannot stretch it by sending a little. */
  #giveUpAfter(socket: Socket, ms: number): Deadline {
    const deadline = new Deadline(this.#options.wheel, () => socket.destroy())
    deadline.arm(ms)
    socket.on('close', () => deadline.release())
    return deadline
  }
}

/** Resolves when the event loop has looked at every socket once more. */
async function onePoll(): Promise<void> {
  // From wherever we are, the first comes before that look or after only a part of it.
  for (let count = 0; count < 2; count++) await new Promise((resolve) => setImmediate(resolve))
}

function plainFacts(socket: Socket, source: ProxySource | null): ClientFacts {
  const peerAddress = unmapped(socket.remoteAddress ?? '')
  return {
    address: source === null ? peerAddress : unmapped(source.address),
    port: source?.port ?? socket.remotePort ?? 0,
    peerAddress,
    localPort: source?.localPort ?? socket.localPort ?? 0,
    secure: false,
    serverName: undefined,
    tlsVersion: undefined,
    certificate: null,
  }
}

/** IPv4 clients of a dual-stack listener come as ::ffff:192.0.2.1; everyone else knows them as 192.0.2.1. */
function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

function isTrusted(trusted: BlockList, remoteAddress: string): boolean {
  const address = unmapped(remoteAddress)
  return trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

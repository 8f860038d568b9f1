import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { ProxyError } from '../http/proxy-error.ts'
import { Deadline, type TimerWheel } from '../transport/timer-wheel.ts'
import type { OriginResolver } from './resolver.ts'

export interface OriginTarget {
  readonly name: string
  /** Host and port as in its URL: Host where the request leaves it open. */
  readonly authority: string
  readonly host: string
  readonly port: number
  /** null: plain TCP. */
  readonly secure: OriginSecurity | null
  /** A socket of this machine, in place of host and port. */
  readonly socketPath?: string
}

export interface OriginSecurity {
  /** The name that is sent as SNI and that the certificate must be for. */
  readonly serverName: string
  readonly context: SecureContext
}

export interface DialOptions {
  readonly target: OriginTarget
  /** Name, TCP and TLS together. */
  readonly connectMs: number
  readonly wheel: TimerWheel
  readonly resolver: OriginResolver
}

/**
 * Opens a connection to an origin. The addresses of its name take turns at being first (`turn` counts connections); the
 * next is tried when one fails or has used up its share of the time, so that a dead address costs a moment, not a
 * request. `done` is called once, never from inside this call; the socket is handed over without listeners.
 */
export function dial(
  options: DialOptions,
  turn: number,
  done: (socket: Socket | ProxyError) => void,
): void {
  new Dial(options, done).start(turn)
}

class Dial {
  readonly #options: DialOptions
  readonly #done: (socket: Socket | ProxyError) => void
  readonly #deadline: Deadline
  /** ms on the wheel's clock. */
  readonly #endsAt: number
  #addresses: readonly string[] = []
  #tried = 0
  #socket: Socket | null = null
  #settled = false

  constructor(options: DialOptions, done: (socket: Socket | ProxyError) => void) {
    this.#options = options
    this.#done = done
    this.#deadline = new Deadline(options.wheel, () => this.#failed(this.#timeoutError()))
    this.#endsAt = options.wheel.now() + options.connectMs
    this.#deadline.arm(options.connectMs)
  }

  start(turn: number): void {
    const { resolver, target } = this.#options
    const addresses =
      target.socketPath === undefined
        ? resolver.resolve(target.host)
        : Promise.resolve([target.socketPath])
    addresses.then(
      (addresses) => {
        if (this.#settled) return
        this.#addresses = inTurn(addresses, turn)
        this.#tryNext()
      },
      (cause: unknown) =>
        this.#settle(new ProxyError('ORIGIN_NAME_UNRESOLVED', [target.host], cause)),
    )
  }

  #tryNext(): void {
    const left = this.#addresses.length - this.#tried
    const address = this.#addresses[this.#tried++]
    this.#deadline.arm(Math.max(0, this.#endsAt - this.#options.wheel.now()) / left)
    const { port, secure, socketPath } = this.#options.target
    const socket =
      secure === null
        ? connectTcp(socketPath === undefined ? { host: address, port } : { path: socketPath })
        : connectTls({
            host: address,
            port,
            servername: secure.serverName,
            secureContext: secure.context,
            ALPNProtocols: ['http/1.1'],
          })
    this.#socket = socket
    socket.setNoDelay(true)
    socket.once(secure === null ? 'connect' : 'secureConnect', () => this.#settle(socket))
    socket.once('error', (cause: NodeJS.ErrnoException) => this.#failed(this.#errorOf(cause)))
    socket.once('close', () => this.#failed(this.#errorOf(null)))
  }

  #failed(error: ProxyError): void {
    this.#dropSocket()
    const next = this.#tried > 0 && this.#tried < this.#addresses.length
    if (next && this.#options.wheel.now() < this.#endsAt) this.#tryNext()
    else this.#settle(error)
  }

  #dropSocket(): void {
    const socket = this.#socket
    this.#socket = null
    if (socket === null) return
    socket.removeAllListeners()
    // What is left to happen to it concerns nobody.
    socket.on('error', () => {})
    socket.destroy()
  }

  #settle(result: Socket | ProxyError): void {
    if (this.#settled) return
    this.#settled = true
    this.#deadline.release()
    if (result instanceof ProxyError) this.#dropSocket()
    else for (const event of HEARD_WHILE_DIALLING) result.removeAllListeners(event)
    this.#done(result)
  }

  #timeoutError(): ProxyError {
    const { target, connectMs } = this.#options
    return new ProxyError('ORIGIN_CONNECT_TIMEOUT', [target.name, connectMs])
  }

  #errorOf(cause: NodeJS.ErrnoException | null): ProxyError {
    const { name, secure } = this.#options.target
    const code = cause?.code ?? 'closed while connecting'
    if (code === 'ECONNREFUSED') return new ProxyError('ORIGIN_REFUSED', [name], cause)
    if (CERTIFICATE_ERROR.test(code)) {
      return new ProxyError('ORIGIN_CERTIFICATE', [name, code], cause)
    }
    const inHandshake = cause === null || code === 'ECONNRESET' || code.startsWith('ERR_SSL')
    if (secure !== null && inHandshake) return new ProxyError('ORIGIN_TLS', [name, code], cause)
    return new ProxyError('ORIGIN_UNREACHABLE', [name, code], cause)
  }
}

const HEARD_WHILE_DIALLING = ['connect', 'secureConnect', 'error', 'close']

const CERTIFICATE_ERROR =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA|ERR_TLS_CERT)/

/** Those of the family that comes first take turns; the other family is what remains when none of them answers. */
function inTurn(addresses: readonly string[], turn: number): readonly string[] {
  const family = isIP(addresses[0])
  const first = addresses.filter((address) => isIP(address) === family)
  const start = turn % first.length
  return [
    ...first.slice(start),
    ...first.slice(0, start),
    ...addresses.filter((address) => isIP(address) !== family),
  ]
}

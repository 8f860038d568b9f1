import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import { Clock } from '../../../http/clock.ts'
import type { ClientFacts, FrontDoor } from '../../exchange.ts'
import { DEFAULT_LIMITS, type TransportLimits } from '../../limits.ts'
import { TimerWheel } from '../../timer-wheel.ts'
import { type Http2Connection, serveHttp2 } from '../connection.ts'

export interface EngineServer {
  readonly port: number
  readonly connections: Set<Http2Connection>
  /** Fires deadlines that are due when the hands of the clock stand at `now` ms. Only with `handMoved`. */
  moveTo(nowMs: number): void
  close(): Promise<void>
}

export interface EngineServerOptions {
  readonly limits?: Partial<TransportLimits>
  readonly tls?: { key: string; cert: string }
  /** Time stands still but for `moveTo`. */
  readonly handMoved?: boolean
  readonly enableConnectProtocol?: boolean
  readonly port?: number
}

/** The engine behind a listening socket on loopback: plain with prior knowledge, or TLS. */
export async function startEngine(
  door: FrontDoor,
  options: EngineServerOptions = {},
): Promise<EngineServer> {
  let handNow = 1000
  const handMoved = options.handMoved === true
  const wheel = handMoved ? new TimerWheel(() => handNow) : new TimerWheel().start()
  const clock = new Clock().start()
  const connections = new Set<Http2Connection>()
  const accept = (socket: net.Socket): void => {
    const client: ClientFacts = {
      address: socket.remoteAddress ?? '',
      port: socket.remotePort ?? 0,
      peerAddress: socket.remoteAddress ?? '',
      localPort: socket.localPort ?? 0,
      secure: options.tls !== undefined,
      serverName: undefined,
      tlsVersion: undefined,
      certificate: null,
    }
    const connection = serveHttp2(socket, client, {
      door,
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      clock,
      wheel,
      enableConnectProtocol: options.enableConnectProtocol,
    })
    connections.add(connection)
    connection.onClose = () => connections.delete(connection)
  }
  const server =
    options.tls === undefined
      ? net.createServer(accept)
      : tls.createServer({ ...options.tls, ALPNProtocols: ['h2'] }, accept)
  server.listen(options.port ?? 0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    // A server that listens on TCP has an address with a port.
    port: (server.address() as AddressInfo).port,
    connections,
    moveTo(nowMs) {
      handNow = nowMs
      wheel.advance()
    },
    async close() {
      for (const connection of connections) connection.destroy()
      await new Promise((resolve) => server.close(resolve))
      wheel.stop()
      clock.stop()
    },
  }
}

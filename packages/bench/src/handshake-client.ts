import { once } from 'node:events'
import { type ConnectionOptions, connect } from 'node:tls'

/** Makes handshakes, so many at a time, and tells how they went: JSON of `HandshakeLoad` comes as the first argument. */

export interface HandshakeLoad {
  readonly port: number
  readonly count: number
  readonly concurrency: number
  readonly resumed: boolean
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  /** Of the key exchange; several are separated by colons. */
  readonly group: string
}

export interface HandshakeResult {
  readonly seconds: number
  /** How many were resumed. */
  readonly resumed: number
}

const load = JSON.parse(process.argv[2]) as HandshakeLoad
const base: ConnectionOptions = {
  port: load.port,
  host: '127.0.0.1',
  servername: 'localhost',
  rejectUnauthorized: false,
  minVersion: load.version,
  maxVersion: load.version,
  ecdhCurve: load.group,
  ALPNProtocols: ['http/1.1'],
}

/** True when it was resumed. */
async function handshake(session?: Buffer): Promise<boolean> {
  const socket = connect({ ...base, session })
  await once(socket, 'secureConnect')
  const resumed = socket.isSessionReused()
  // The server has had our last message when it closes behind us.
  socket.resume()
  socket.end()
  await once(socket, 'close')
  return resumed
}

async function firstSession(): Promise<Buffer> {
  const socket = connect(base)
  const [session] = await once(socket, 'session')
  socket.end()
  await once(socket.resume(), 'close')
  return session
}

const session = load.resumed ? await firstSession() : undefined
let left = load.count
let resumed = 0
const startedAt = performance.now()
await Promise.all(
  Array.from({ length: load.concurrency }, async () => {
    while (left-- > 0) if (await handshake(session)) resumed++
  }),
)
const seconds = (performance.now() - startedAt) / 1000
console.log(JSON.stringify({ seconds, resumed } satisfies HandshakeResult))

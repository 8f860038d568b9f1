import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Clock } from '../../../http/clock.ts'
import { DEFAULT_LIMITS } from '../../limits.ts'
import { type FrontListener, listen } from '../../listener.ts'
import { switched, type UpgradeRecord } from '../../test-support/upgrade-record.ts'
import { TimerWheel } from '../../timer-wheel.ts'
import { createSecureFront } from '../../tls-front.ts'
import { selfSignedContext } from './self-signed.ts'
import { RecordingDoor, type Teardown } from './server-under-test.ts'

export const UPGRADE = 'Connection: Upgrade\r\nUpgrade: raw\r\n'
export const UPGRADE_REQUEST = `GET /up HTTP/1.1\r\nHost: a.test\r\n${UPGRADE}\r\n`
export const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n'

/** Application data that nobody has enciphered. */
const UNSOUND_RECORD = Buffer.from('1703030020'.padEnd(74, '0'), 'hex')

export interface UpgradeFront {
  readonly door: RecordingDoor
  readonly listener: FrontListener
  /** The first exchange that is switched, by then in the hands of `take`. */
  readonly switched: Promise<UpgradeRecord>
  /** Moves the connections' clock by hand and fires what became due. */
  advance(ms: number): void
  /** A client whose request was answered with 101. */
  client(): Promise<OctetClient>
}

/** A listener, plain or with TLS, whose door switches every request to `raw` and gives it to `take`. */
export async function startUpgradeFront(
  t: Teardown,
  secure: boolean,
  take: (record: UpgradeRecord) => void,
): Promise<UpgradeFront> {
  let now = 1
  const wheel = new TimerWheel(() => now)
  const door = new RecordingDoor()
  const first = Promise.withResolvers<UpgradeRecord>()
  door.answer = (exchange) => {
    const record = switched(exchange)
    take(record)
    first.resolve(record)
  }
  const listener = listen(
    { host: '127.0.0.1', port: 0 },
    {
      secure: secure ? secureFront() : false,
      proxyProtocol: null,
      door,
      limits: DEFAULT_LIMITS,
      clock: new Clock(),
      wheel,
      http2: null,
    },
  )
  const { port } = await listener.ready
  const advance = (ms: number) => {
    for (const until = now + ms; now < until; ) {
      now = Math.min(until, now + 100)
      wheel.advance()
    }
  }
  t.teardown(() => {
    const drained = listener.drain(1)
    advance(1000)
    return drained
  })
  const client = async () => {
    const octets = await connected(port, secure)
    t.teardown(() => octets.socket.destroy())
    octets.socket.write(UPGRADE_REQUEST)
    await octets.head()
    return octets
  }
  return { door, listener, switched: first.promise, advance, client }
}

/** A client that keeps octets as octets, and reads only while it wants to. */
export class OctetClient {
  readonly socket: Socket
  /** Breaks the connection as only a client can that is not coming back. */
  readonly vanish: () => void
  chunks: Buffer[] = []
  bytes = 0
  ended = false
  reset = false
  closed = false
  #watchers: (() => void)[] = []

  constructor(socket: Socket, vanish: () => void) {
    this.socket = socket
    this.vanish = vanish
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.bytes += chunk.length
      this.#changed()
    })
    socket.on('end', () => {
      this.ended = true
      this.#changed()
    })
    socket.on('error', () => {
      this.reset = true
    })
    socket.on('close', () => {
      this.closed = true
      this.#changed()
    })
  }

  get octets(): Buffer {
    return Buffer.concat(this.chunks)
  }

  /** Resolves when `condition` holds, rejects when the connection is over without it. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (condition()) resolve()
        else if (this.closed) reject(new Error(`closed after ${this.bytes} octets`))
        else this.#watchers.push(check)
      }
      check()
    })
  }

  /** Resolves when the server has ended or cut the connection. */
  over(): Promise<void> {
    return this.until(() => this.ended || this.closed)
  }

  /** Takes the 101 off what came. */
  async head(): Promise<void> {
    await this.until(() => this.octets.includes('\r\n\r\n'))
    const octets = this.octets
    const end = octets.indexOf('\r\n\r\n') + 4
    const head = octets.latin1Slice(0, end)
    if (head !== `${SWITCHED}\r\n`) throw new Error(`not switched: ${JSON.stringify(head)}`)
    this.chunks = [octets.subarray(end)]
    this.bytes = octets.length - end
  }

  #changed(): void {
    const watchers = this.#watchers
    this.#watchers = []
    for (const watcher of watchers) watcher()
  }
}

async function connected(port: number, secure: boolean): Promise<OctetClient> {
  const raw = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  await once(raw, 'connect')
  if (!secure) return new OctetClient(raw, () => raw.resetAndDestroy())
  const socket = connectTls({ socket: raw, servername: 'a.test', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  return new OctetClient(socket, () => raw.write(UNSOUND_RECORD))
}

function secureFront() {
  const context = selfSignedContext('a.test')
  return createSecureFront({ contextFor: () => context, alpn: ['http/1.1'] })
}

import { createServer, type Server, type Socket } from 'node:net'
import { Clock } from '../../../http/clock.ts'
import { Fields } from '../../../http/fields.ts'
import type {
  ClientFacts,
  Exchange,
  ExchangeEnd,
  FrontDoor,
  ReadyAnswer,
  RequestView,
} from '../../exchange.ts'
import { DEFAULT_LIMITS, type TransportLimits } from '../../limits.ts'
import { TimerWheel } from '../../timer-wheel.ts'
import { type Http1Connection, serveHttp1 } from '../connection.ts'

/** What `t` must offer to have a server closed behind a test. */
export interface Teardown {
  teardown(close: () => unknown): void
}

export interface BodyRecord {
  text: string
  ended: boolean
  aborted: boolean
  trailers: [string, string][] | null
}

/** A door that writes down who came, and answers as it is told; by default it reads the body and echoes it. */
export class RecordingDoor implements FrontDoor {
  readonly lookUps: string[] = []
  readonly requests: string[] = []
  readonly exchanges: Exchange[] = []
  readonly bodies: BodyRecord[] = []
  readonly ends: ExchangeEnd[] = []
  readonly refusals: number[] = []
  answeredBytes = 0
  ready: (view: RequestView) => ReadyAnswer | null = () => null
  answer: (exchange: Exchange, door: RecordingDoor) => void = echo

  lookUp(view: RequestView): ReadyAnswer | null {
    this.lookUps.push(`${view.method} ${view.target}`)
    return this.ready(view)
  }

  answered(
    _view: RequestView,
    _client: ClientFacts,
    _answer: ReadyAnswer,
    bytes: number,
    _startedAt: number,
  ): void {
    this.answeredBytes += bytes
  }

  handle(exchange: Exchange): void {
    this.requests.push(`${exchange.request.method} ${exchange.request.target}`)
    this.exchanges.push(exchange)
    exchange.onClose = (end) => this.ends.push(end)
    this.answer(exchange, this)
  }

  refused(_client: ClientFacts, status: number): void {
    this.refusals.push(status)
  }

  /** Starts the body and writes down what becomes of it. */
  consume(exchange: Exchange, onEnd: (record: BodyRecord) => void = () => {}): BodyRecord {
    const record: BodyRecord = { text: '', ended: false, aborted: false, trailers: null }
    this.bodies.push(record)
    exchange.body?.consume({
      onChunk(chunk) {
        record.text += chunk.toString('latin1')
      },
      onEnd(trailers) {
        record.ended = true
        record.trailers = trailers === null ? null : [...trailers]
        onEnd(record)
      },
      onAbort() {
        record.aborted = true
      },
    })
    return record
  }
}

export function echo(exchange: Exchange, door: RecordingDoor): void {
  if (exchange.body === null) respondText(exchange, 'no body')
  else door.consume(exchange, (record) => respondText(exchange, record.text))
}

export function respondText(exchange: Exchange, text: string, fields: [string, string][] = []) {
  exchange.respond({ status: 200, fields: Fields.from(fields) }, Buffer.from(text, 'latin1'))
}

export function readyAnswer(body: Buffer | null, status = 200): ReadyAnswer {
  const length = body === null ? '' : `content-length: ${body.length}\r\n`
  const now = Date.now()
  return {
    status,
    http1Head: `HTTP/1.1 ${status} OK\r\n${length}`,
    hpackHead: '',
    body,
    ageBaseAt: now,
    freshUntilAt: now + 60_000,
  }
}

export interface ServerUnderTest {
  readonly port: number
  readonly door: RecordingDoor
  readonly connections: Http1Connection[]
  readonly sockets: Socket[]
  /** Moves the connections' clock by hand and fires what became due. */
  advance(ms: number): void
}

/** The engine on a real socket of the loopback interface, with a clock that stands still until it is moved. */
export async function startServer(
  t: Teardown,
  limits: Partial<TransportLimits> = {},
): Promise<ServerUnderTest> {
  const door = new RecordingDoor()
  const connections: Http1Connection[] = []
  const sockets: Socket[] = []
  let now = 1
  const wheel = new TimerWheel(() => now)
  const options = { door, limits: { ...DEFAULT_LIMITS, ...limits }, clock: new Clock(), wheel }
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.push(socket)
    connections.push(serveHttp1(socket, factsOf(socket), options))
  })
  const port = await listening(server)
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const advance = (ms: number) => {
    // In steps, as the wheel's own timer would.
    for (const until = now + ms; now < until; ) {
      now = Math.min(until, now + 100)
      wheel.advance()
    }
  }
  return { port, door, connections, sockets, advance }
}

export function factsOf(socket: Socket): ClientFacts {
  return {
    address: socket.remoteAddress ?? '',
    port: socket.remotePort ?? 0,
    peerAddress: socket.remoteAddress ?? '',
    localPort: socket.localPort ?? 0,
    secure: false,
    serverName: undefined,
    tlsVersion: undefined,
    certificate: null,
  }
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
}

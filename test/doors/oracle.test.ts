import http from 'node:http'
import http2 from 'node:http2'
import t from 'tap'
import { Clock } from '../../packages/proxy/src/http/clock.ts'
import { Fields } from '../../packages/proxy/src/http/fields.ts'
import { normaliseTarget } from '../../packages/proxy/src/http/request-target.ts'
import type { FrontDoor, RequestHead } from '../../packages/proxy/src/transport/exchange.ts'
import { serveHttp1 } from '../../packages/proxy/src/transport/h1/connection.ts'
import { serveHttp2 } from '../../packages/proxy/src/transport/h2/connection.ts'
import { CLIENT_PREFACE } from '../../packages/proxy/src/transport/h2/frame.ts'
import { block } from '../../packages/proxy/src/transport/h2/test-support/block.ts'
import { headers, settings } from '../../packages/proxy/src/transport/h2/test-support/raw-client.ts'
import { DEFAULT_LIMITS } from '../../packages/proxy/src/transport/limits.ts'
import { TimerWheel } from '../../packages/proxy/src/transport/timer-wheel.ts'
import { type GeneratedRequest, generateRequest, http1Bytes, mutate, Random } from './generate.ts'
import { CLIENT, MemorySocket, NOW } from './world.ts'

/**
 * Node's own servers as witnesses: whatever an engine of ours takes for a request they take for the same request. The
 * other way round proves nothing, since they take much that must be refused.
 */
const CASES = Number(process.env.LARDER_ORACLE_CASES ?? 4000)

interface Seen {
  readonly method: string
  readonly target: string
  readonly fields: string
}

const options = {
  clock: new Clock(() => NOW),
  wheel: new TimerWheel(() => 1),
  limits: DEFAULT_LIMITS,
}

t.test('a request that the HTTP/1.1 engine takes is the same for node:http', async (t) => {
  const random = new Random(7)
  const witness = http.createServer()
  let accepted = 0
  for (let i = 0; i < CASES; i++) {
    const bytes = http1Bytes(generateRequest(random), false, random)
    const sent = random.chance(3) ? mutate(bytes, random) : bytes
    const seen = await seenByEngine('h1', sent)
    // Of methods it does not know node:http is no judge.
    if (seen === null || !http.METHODS.includes(seen.method)) continue
    accepted++
    const expected = await seenByNodeHttp(witness, sent)
    if (expected === null || !same(seen, expected)) {
      t.same(seen, expected, JSON.stringify(sent.toString('latin1')))
      return
    }
  }
  t.ok(accepted > CASES / 2, `${accepted} requests were taken, and agreed upon`)
})

t.test('a request that the HTTP/2 engine takes is the same for node:http2', async (t) => {
  const random = new Random(8)
  const witness = http2.createServer()
  let accepted = 0
  for (let i = 0; i < CASES; i++) {
    const plain = block(http2Lines(generateRequest(random)))
    const mutated = random.chance(3) ? mutate(plain, random) : plain
    const sent = Buffer.concat([CLIENT_PREFACE, settings(), headers(1, mutated)])
    const seen = await seenByEngine('h2', sent)
    if (seen === null) continue
    accepted++
    const expected = await seenByNodeHttp2(witness, sent)
    if (expected === null || !same(seen, expected)) {
      t.same(seen, expected, JSON.stringify(sent.toString('latin1')))
      return
    }
  }
  t.ok(accepted > CASES / 2, `${accepted} requests were taken, and agreed upon`)
})

function same(a: Seen, b: Seen): boolean {
  return a.method === b.method && a.target === b.target && a.fields === b.fields
}

function http2Lines({ method, target, host, fields }: GeneratedRequest) {
  return [
    [':method', method],
    [':scheme', 'http'],
    [':path', target],
    [':authority', host],
    ...fields,
  ] as const
}

/** Lines of equal name may be joined by their reader (RFC 9110 §5.3); Host is told apart by the head. */
function fieldsText(list: readonly string[]): string {
  const fields = new Fields(list.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text)))
  const names = [...new Set(fields.list.filter((_, i) => i % 2 === 0))].sort()
  return names
    .filter((name) => name !== 'host' && !name.startsWith(':'))
    .map((name) => `${name}=${fields.values(name).join(name === 'cookie' ? '; ' : ', ')}`)
    .join('|')
}

/** The target without scheme and authority, normalised as the engines do it. */
function targetText(target: string): string {
  const path = target.replace(/^http:\/\/[^/?]*/i, '')
  return target === '*' ? '*' : (normaliseTarget(path.startsWith('/') ? path : `/${path}`) ?? '')
}

async function seenByEngine(protocol: 'h1' | 'h2', sent: Buffer): Promise<Seen | null> {
  const requests: RequestHead[] = []
  const door: FrontDoor = {
    lookUp: () => null,
    answered() {},
    handle: (exchange) => requests.push(exchange.request),
    refused() {},
  }
  const socket = new MemorySocket()
  if (protocol === 'h1') serveHttp1(socket, CLIENT, { ...options, door })
  else serveHttp2(socket, CLIENT, { ...options, door })
  socket.push(sent)
  await turns(2)
  const [request] = requests
  socket.destroy()
  if (request === undefined) return null
  const { method, target, fields } = request
  return { method, target, fields: fieldsText(fields.list) }
}

async function seenByNodeHttp(witness: http.Server, sent: Buffer): Promise<Seen | null> {
  let seen: Seen | null = null
  witness.removeAllListeners('request')
  witness.once('request', (request: http.IncomingMessage) => {
    seen ??= {
      method: request.method ?? '',
      target: targetText(request.url ?? ''),
      fields: fieldsText(request.rawHeaders),
    }
  })
  const socket = new MemorySocket()
  witness.emit('connection', socket)
  socket.push(sent)
  await turns(3)
  socket.destroy()
  return seen
}

async function seenByNodeHttp2(witness: http2.Http2Server, sent: Buffer): Promise<Seen | null> {
  let seen: Seen | null = null
  witness.removeAllListeners('stream')
  witness.once('stream', (stream, pseudo, _flags, rawHeaders: string[]) => {
    stream.on('error', () => undefined)
    seen = {
      method: String(pseudo[':method']),
      target: targetText(String(pseudo[':path'])),
      fields: fieldsText(rawHeaders),
    }
  })
  const socket = new MemorySocket()
  witness.emit('connection', socket)
  socket.push(sent)
  for (let i = 0; i < 20 && seen === null; i++) await turns(1)
  socket.destroy()
  return seen
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

import { once } from 'node:events'
import net from 'node:net'
import { duplexPair } from 'node:stream'
import t from 'tap'
import { Clock } from '../../http/clock.ts'
import type { ClientFacts } from '../exchange.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { serveHttp2 } from './connection.ts'
import { CLIENT_PREFACE, FRAME, readUint31 } from './frame.ts'
import { get, request } from './test-support/block.ts'
import { startEngine } from './test-support/engine-server.ts'
import { data, headers, RawClient, settings, windowUpdate } from './test-support/raw-client.ts'
import { readyAnswer, respondText, ScriptedDoor } from './test-support/scripted-door.ts'

const CLIENT: ClientFacts = {
  address: '127.0.0.1',
  port: 1,
  peerAddress: '127.0.0.1',
  localPort: 2,
  secure: false,
  serverName: undefined,
  tlsVersion: undefined,
  certificate: null,
}

function options(door: ScriptedDoor, initialData?: Buffer) {
  const [clock, wheel] = [new Clock(), new TimerWheel()]
  return { door, limits: DEFAULT_LIMITS, clock, wheel, initialData }
}

t.test('what was read before the engine came is read first', async (t) => {
  const [near, far] = duplexPair()
  const bytes = Buffer.concat([CLIENT_PREFACE, settings(), headers(1, get('/'))])
  const client = new RawClient(far)
  client.send(bytes.subarray(40))
  const connection = serveHttp2(near, CLIENT, options(new ScriptedDoor(), bytes.subarray(0, 40)))
  t.equal((await client.response(1)).status, 200)
  const closed = new Promise<void>((resolve) => {
    connection.onClose = resolve
  })
  connection.destroy()
  await closed
})

t.test('a socket that fails at once is only closed', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const peer = net.connect(port, '127.0.0.1')
  const [socket]: net.Socket[] = await once(server, 'connection')
  const connection = serveHttp2(socket, CLIENT, options(new ScriptedDoor()))
  const closed = new Promise<void>((resolve) => {
    connection.onClose = resolve
  })
  peer.resetAndDestroy()
  await closed
  connection.drain()
  connection.destroy()
})

t.test('content of requests that were cut gives its window back (§6.9)', async (t) => {
  const door = new ScriptedDoor()
  door.onExchange = (exchange) => {
    // Held for a while, never consumed.
    if (exchange.body === null) respondText(exchange, 200, 'ok')
    else setImmediate(() => respondText(exchange, 413, 'no'))
  }
  const server = await startEngine(door)
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port)
  t.teardown(() => client.destroy())
  // Ten times the connection window, part of it while the stream is open and part of it after its end.
  let sent = 0
  let id = 1
  const window = () =>
    client.frames
      .filter(client.ofType(FRAME.windowUpdate, 0))
      .reduce((sum, f) => sum + readUint31(f.payload, 0), 65_535)
  for (; sent < 10 * 1024 * 1024; id += 2) {
    await client.next(() => window() - sent >= 60_000)
    client.send(headers(id, request('POST', '/'), false))
    for (let i = 0; i < 5; i++) client.send(data(id, Buffer.alloc(12_000)))
    sent += 60_000
    if (id % 10 === 1) await client.response(id)
  }
  client.send(headers(id, get('/')))
  t.equal((await client.response(id)).status, 200)
  t.notOk(client.frames.some(client.ofType(FRAME.goaway)))
})

t.test('twenty thousand hits on one connection are all answered', async (t) => {
  const door = new ScriptedDoor()
  door.ready.set('/x', readyAnswer(Buffer.alloc(10)))
  door.answered = () => {}
  const server = await startEngine(door, { limits: { maxRequestsPerConnection: 1_000_000 } })
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port)
  t.teardown(() => client.destroy())
  client.send(windowUpdate(0, 1_048_576))
  const batch = 100
  for (let first = 1; first < 2 * 20_000; first += 2 * batch) {
    const requests = Array.from({ length: batch }, (_, i) => headers(first + 2 * i, get('/x')))
    client.send(...requests)
    await client.response(first + 2 * (batch - 1))
    client.frames.length = 0
  }
  t.equal(server.connections.size, 1)
})

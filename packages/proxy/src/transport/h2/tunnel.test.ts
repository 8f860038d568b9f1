import { randomBytes } from 'node:crypto'
import http2 from 'node:http2'
import t, { type Test } from 'tap'
import { Fields } from '../../http/fields.ts'
import type { Exchange } from '../exchange.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { echoOctets, eventually, switched, UpgradeRecord } from '../test-support/upgrade-record.ts'
import { ERROR, FLAG, FRAME } from './frame.ts'
import { block, get, type Line } from './test-support/block.ts'
import { type EngineServerOptions, startEngine } from './test-support/engine-server.ts'
import { data, headers, RawClient, resetStream, windowUpdate } from './test-support/raw-client.ts'
import { respondText, ScriptedDoor } from './test-support/scripted-door.ts'

const { bodyTimeoutMs, idleTimeoutMs } = DEFAULT_LIMITS
const MIB = 1024 * 1024

const CONNECT = block([
  [':method', 'CONNECT'],
  [':protocol', 'raw'],
  [':scheme', 'http'],
  [':path', '/up'],
  [':authority', 'a.test'],
])

/** A client with a tunnel on stream 1, as the pipeline sees it in `upgrade`. */
async function startTunnel(
  t: Test,
  take: (upgrade: UpgradeRecord) => void = (upgrade) => {
    upgrade.consume()
  },
  options: EngineServerOptions = {},
) {
  const started = await start(t, options)
  const { promise, resolve } = Promise.withResolvers<UpgradeRecord>()
  started.door.onExchange = (exchange) => {
    const upgrade = switched(exchange)
    take(upgrade)
    resolve(upgrade)
  }
  started.client.send(headers(1, CONNECT, false))
  return { ...started, upgrade: await promise }
}

async function start(t: Test, options: EngineServerOptions = {}) {
  const door = new ScriptedDoor()
  const server = await startEngine(door, { enableConnectProtocol: true, ...options })
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port)
  t.teardown(() => client.destroy())
  return { door, client, server }
}

const endOfStream = (client: RawClient) =>
  client.next((f) => f.streamId === 1 && (f.flags & FLAG.endStream) !== 0)

t.test('a switch is answered with 200, without fields of a connection (RFC 8441 §5)', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) => {
    t.same(exchange.upgrade, ['raw'])
    t.equal(exchange.body, null)
    const fields = new Fields(['sec-x', 'y', 'content-length', '5', 'upgrade', 'raw'])
    const connection = exchange.switchProtocols('RAW', fields)
    if (typeof connection === 'string') throw new Error(connection)
    t.equal(connection.protocol, 'raw')
    echoOctets(new UpgradeRecord(connection))
  }
  client.send(headers(1, CONNECT, false), data(1, 'early'), data(1, ' and late', true))
  const response = await client.response(1)
  t.equal(response.status, 200)
  t.same([...response.head.keys()].sort(), [':status', 'date', 'sec-x'])
  t.equal(response.body.toString(), 'early and late')
  t.same(await door.seen[0].closed, { complete: true, bytesSent: 14 })
})

t.test(
  '10 MiB both ways at once come back octet by octet to the client of node:http2',
  async (t) => {
    const { door, server } = await start(t)
    door.onExchange = (exchange) => echoOctets(switched(exchange))
    const session = http2.connect(`http://127.0.0.1:${server.port}`, { maxSessionMemory: 64 })
    t.teardown(() => session.destroy())
    await new Promise((resolve) => session.once('remoteSettings', resolve))
    const stream = session.request(
      { ':method': 'CONNECT', ':protocol': 'raw', ':path': '/up' },
      { endStream: false },
    )
    const sent = randomBytes(10 * MIB)
    const received: Buffer[] = []
    stream.on('data', (chunk: Buffer) => received.push(chunk))
    stream.end(sent)
    await new Promise((resolve) => stream.once('end', resolve))
    t.ok(Buffer.concat(received).equals(sent))
    t.same(await door.seen[0].closed, { complete: true, bytesSent: sent.length })
  },
)

t.test('what cannot be switched says why, and is answered as any request', async (t) => {
  const { door, client } = await start(t)
  const outcomes: unknown[] = []
  door.onExchange = (exchange: Exchange) => {
    outcomes.push(exchange.upgrade, exchange.switchProtocols('websocket', new Fields()))
    respondText(exchange, 403, 'no')
    outcomes.push(exchange.switchProtocols('raw', new Fields()))
  }
  const odd: Line[] = [
    [':method', 'CONNECT'],
    [':protocol', 'raw, h2c'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'a.test'],
  ]
  client.send(headers(1, get('/')), headers(3, CONNECT, false), headers(5, block(odd), false))
  for (const streamId of [1, 3, 5]) t.equal((await client.response(streamId)).status, 403)
  t.same(outcomes, [
    null,
    'not-asked',
    'answered',
    ['raw'],
    'not-offered',
    'answered',
    null,
    'not-asked',
    'answered',
  ])
  await client.roundTrip()
})

t.test('each direction ends on its own (RFC 9113 §5.1)', async (t) => {
  const { door, client, upgrade } = await startTunnel(t)
  upgrade.connection.write(Buffer.from('all we say'))
  upgrade.connection.end()
  t.equal(upgrade.connection.write(Buffer.from('more')), false)
  await endOfStream(client)
  // A window that opens behind our end must not make it leave again.
  client.send(windowUpdate(1, 1000), data(1, 'one'), data(1, 'two'))
  await client.roundTrip()
  t.equal(upgrade.text, 'onetwo')
  t.same(upgrade.closes, [])
  client.send(data(1, '!', true))
  t.same(await door.seen[0].closed, { complete: true, bytesSent: 10 })
  t.same(upgrade.events, ['chunk', 'chunk', 'chunk', 'end', 'close'])
  t.same(upgrade.closes, [{ how: 'ended', bytesSent: 10, bytesReceived: 7 }])
  await client.roundTrip()
  t.same(client.frames.filter(client.ofType(FRAME.resetStream)), [])
  const ours = client.frames.filter(client.ofType(FRAME.data, 1))
  t.equal(ours.filter(({ flags }) => flags & FLAG.endStream).length, 1)
})

t.test('what a paused sink has not had is not lost by both ends', async (t) => {
  for (const first of ['client', 'server'] as const) {
    const { door, client, upgrade } = await startTunnel(t, () => {})
    if (first === 'server') {
      upgrade.connection.end()
      await endOfStream(client)
    }
    client.send(data(1, 'last words', true))
    await client.roundTrip()
    upgrade.connection.end()
    await client.roundTrip()
    t.same(upgrade.closes, [], first)
    upgrade.consume()
    await endOfStream(client)
    t.same(await door.seen[0].closed, { complete: true, bytesSent: 0 })
    t.equal(upgrade.text, 'last words', first)
    t.same(upgrade.events, ['chunk', 'end', 'close'], first)
    t.match(upgrade.closes, [{ how: 'ended' }], first)
    await client.roundTrip()
  }
})

t.test('abort() resets the stream with CANCEL, and the connection goes on', async (t) => {
  const { door, client, upgrade } = await startTunnel(t)
  upgrade.connection.abort()
  t.equal(await client.reset(1), ERROR.cancel)
  t.match(await door.seen[0].closed, { complete: false })
  t.same(upgrade.closes, [{ how: 'aborted', bytesSent: 0, bytesReceived: 0 }])
  await client.roundTrip()
})

t.test('a stream that the client resets is lost, and told once', async (t) => {
  const { door, client, upgrade } = await startTunnel(t)
  client.send(data(1, 'x'), resetStream(1))
  t.match(await door.seen[0].closed, { complete: false })
  upgrade.connection.abort()
  t.same(upgrade.events, ['chunk', 'close'])
  t.same(upgrade.closes, [{ how: 'lost', bytesSent: 0, bytesReceived: 1 }])
})

t.test('the times of HTTP do not count in a tunnel, the idle time does', async (t) => {
  let now = 1000
  const { door, client, server, upgrade } = await startTunnel(t, undefined, { handMoved: true })
  const advance = (ms: number) => {
    for (const until = now + ms; now < until; ) server.moveTo((now += 100))
  }
  upgrade.connection.setIdleTimeout(10 * bodyTimeoutMs)
  advance(2 * (bodyTimeoutMs + idleTimeoutMs))
  client.send(data(1, 'a'))
  await client.roundTrip()
  t.equal(upgrade.text, 'a')
  t.same(upgrade.closes, [])
  upgrade.connection.setIdleTimeout(5_000)
  for (let i = 0; i < 3; i++) {
    advance(4_800)
    client.send(data(1, 'b'))
    await client.roundTrip()
    advance(4_800)
    upgrade.connection.write(Buffer.from('c'))
    await client.next(() => client.partOfResponse(1).body.length === 1 + i)
  }
  t.same(upgrade.closes, [])
  advance(5_200)
  t.equal(await client.reset(1), ERROR.cancel)
  await door.seen[0].closed
  t.same(upgrade.closes, [{ how: 'idle', bytesSent: 3, bytesReceived: 4 }])
})

t.test(
  'the idle time also ends a tunnel whose both ends came and whose sink takes nothing',
  async (t) => {
    let now = 1000
    const { door, client, server, upgrade } = await startTunnel(t, () => {}, { handMoved: true })
    upgrade.connection.end()
    await endOfStream(client)
    client.send(data(1, 'never taken', true))
    await client.roundTrip()
    for (let i = 0; i < idleTimeoutMs / 100 + 2; i++) server.moveTo((now += 100))
    t.match(await door.seen[0].closed, { complete: false })
    t.same(upgrade.closes, [{ how: 'idle', bytesSent: 0, bytesReceived: 11 }])
    await client.roundTrip()
    t.same(client.frames.filter(client.ofType(FRAME.resetStream)), [])
  },
)

t.test('windows hold both sides back (RFC 9113 §5.2)', async (t) => {
  const { client, upgrade } = await startTunnel(t, () => {})
  const chunk = Buffer.alloc(32 * 1024)
  let accepted = 0
  const pump = () => {
    do accepted += chunk.length
    while (upgrade.connection.write(chunk))
  }
  upgrade.connection.onDrain = pump
  pump()
  await client.next(() => client.partOfResponse(1).body.length === 65_535)
  await client.roundTrip()
  t.ok(accepted - 65_535 <= 128 * 1024, `${accepted - 65_535} octets held`)
  const before = accepted
  client.send(windowUpdate(1, 64 * 1024), windowUpdate(0, 64 * 1024))
  await eventually(() => accepted > before)

  // Nobody takes what the client sends: its window is not given back.
  for (let i = 0; i < 60; i++) client.send(data(1, Buffer.alloc(1024, 'x')))
  await client.roundTrip()
  t.notOk(client.frames.some(client.ofType(FRAME.windowUpdate, 1)))
  upgrade.consume()
  await client.next(client.ofType(FRAME.windowUpdate, 1))
  t.equal(upgrade.octets.length, 60 * 1024)
})

t.test('HEADERS in a tunnel are a stream error (RFC 9113 §8.5)', async (t) => {
  const { client, upgrade, door } = await startTunnel(t)
  client.send(headers(1, block([['x-sum', '7']])))
  t.equal(await client.reset(1), ERROR.protocol)
  await door.seen[0].closed
  t.match(upgrade.closes, [{ how: 'lost' }])
})

t.test('a drain waits for a tunnel', async (t) => {
  const { client, server, upgrade, door } = await startTunnel(t, echoOctets)
  for (const connection of server.connections) connection.drain()
  await client.next(client.ofType(FRAME.goaway))
  client.send(data(1, 'still here'))
  await client.next(() => client.partOfResponse(1).body.length === 10)
  t.same(upgrade.closes, [])
  for (const connection of server.connections) connection.destroy()
  await door.seen[0].closed
  t.same(upgrade.closes, [{ how: 'lost', bytesSent: 10, bytesReceived: 10 }])
})

t.test('no other answer can be put into a tunnel', async (t) => {
  const { door, client, upgrade } = await startTunnel(t)
  const { exchange } = door.seen[0]
  respondText(exchange, 200, 'no')
  const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
  writer.write(Buffer.from('nor that'))
  writer.end()
  upgrade.connection.write(Buffer.from('octets'))
  await client.next(() => client.partOfResponse(1).body.length > 0)
  await client.roundTrip()
  t.equal(client.partOfResponse(1).body.toString(), 'octets')
  t.same(upgrade.closes, [])
})

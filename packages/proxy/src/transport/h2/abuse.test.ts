import t, { type Test } from 'tap'
import { ERROR, FLAG, FRAME } from './frame.ts'
import { get, request } from './test-support/block.ts'
import { type EngineServerOptions, startEngine } from './test-support/engine-server.ts'
import {
  data,
  frame,
  headers,
  RawClient,
  resetStream,
  settings,
  uint32,
  windowUpdate,
} from './test-support/raw-client.ts'
import { readyAnswer, ScriptedDoor } from './test-support/scripted-door.ts'

async function start(t: Test, options: EngineServerOptions = {}) {
  const door = new ScriptedDoor()
  const server = await startEngine(door, options)
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port)
  t.teardown(() => client.destroy())
  return { door, client, server }
}

const FLOOD = 10_000
const CALM = ERROR.enhanceYourCalm

/** Sends `make(i)` until the connection ends or the flood is over; the error code that ended it. */
async function flood(client: RawClient, make: (i: number) => Buffer): Promise<number> {
  for (let i = 0; i < FLOOD && !client.socket.destroyed; i += 100) {
    client.send(...Array.from({ length: 100 }, (_, k) => make(i + k)))
    if (client.socket.writableNeedDrain) await Promise.race([drained(client), client.ended])
  }
  return client.goaway()
}

/** Not `once` of node:events, which rejects when the server resets the connection: that is how a flood may end. */
function drained(client: RawClient): Promise<void> {
  return new Promise((resolve) => client.socket.once('drain', resolve))
}

t.test('rapid reset ends the connection and bounds the work (CVE-2023-44487)', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = () => {}
  const code = await flood(client, (i) =>
    Buffer.concat([headers(2 * i + 1, get('/')), resetStream(2 * i + 1)]),
  )
  t.equal(code, CALM)
  t.ok(door.seen.length <= 501, `${door.seen.length} requests were started`)
  for (const { closed } of door.seen) t.equal((await closed).complete, false)
})

for (const [name, provoke] of [
  ['WINDOW_UPDATE of 0', (id: number) => windowUpdate(id, 0)],
  ['an overflowing window', (id: number) => windowUpdate(id, 0x7fff_ffff)],
  ['DATA after END_STREAM', (id: number) => data(id, 'x')],
  ['a PRIORITY of another size', (id: number) => frame(FRAME.priority, 0, id, Buffer.alloc(4))],
] as const) {
  t.test(`resets that ${name} makes us send count too (CVE-2025-8671)`, async (t) => {
    const { door, client } = await start(t)
    door.onExchange = () => {}
    const code = await flood(client, (i) =>
      Buffer.concat([headers(2 * i + 1, get('/')), provoke(2 * i + 1)]),
    )
    t.equal(code, CALM)
    t.ok(door.seen.length <= 501)
  })
}

t.test('malformed requests count as resets', async (t) => {
  const { client } = await start(t)
  t.equal(await flood(client, (i) => headers(2 * i + 1, get('/', ['te', 'x']))), CALM)
})

const ping = frame(FRAME.ping, 0, 0, Buffer.alloc(8))
for (const [name, make] of [
  ['PING', () => ping],
  ['SETTINGS', () => settings([4, 65_535])],
  ['SETTINGS ACK', () => frame(FRAME.settings, FLAG.ack, 0)],
  ['PRIORITY', () => frame(FRAME.priority, 0, 1, Buffer.concat([uint32(0), Buffer.of(1)]))],
  ['PRIORITY_UPDATE', (i: number) => frame(FRAME.priorityUpdate, 0, 0, uint32(2 * i + 1))],
  ['unknown frames', () => frame(0x42, 0, 0)],
  ['GOAWAY', () => frame(FRAME.goaway, 0, 0, uint32(0, 0))],
  [
    'empty DATA',
    (i: number) => (i === 0 ? headers(1, request('POST', '/held'), false) : data(1, '')),
  ],
  ['WINDOW_UPDATE', () => windowUpdate(0, 1)],
] as const) {
  t.test(`a flood of ${name} is not endured (§10.5)`, async (t) => {
    const { door, client } = await start(t)
    door.onExchange = () => {}
    client.send(headers(1, request('POST', '/held'), false))
    t.equal(await flood(client, name === 'empty DATA' ? () => data(1, '') : make), CALM)
  })
}

t.test('more than 100 CONTINUATION frames end the connection (CVE-2024-27316)', async (t) => {
  const { client } = await start(t)
  client.send(frame(FRAME.headers, FLAG.endStream, 1, get('/')))
  t.equal(await flood(client, () => frame(FRAME.continuation, 0, 1)), CALM)
})

t.test('more than 128 KiB of CONTINUATION end the connection', async (t) => {
  const { client } = await start(t)
  client.send(frame(FRAME.headers, FLAG.endStream, 1, get('/')))
  const fragment = Buffer.alloc(16_384, 'a')
  for (let i = 0; i < 9; i++) client.send(frame(FRAME.continuation, 0, 1, fragment))
  t.equal(await client.goaway(), CALM)
})

t.test('streams beyond SETTINGS_MAX_CONCURRENT_STREAMS are refused (§5.1.2)', async (t) => {
  const { door, client } = await start(t, { limits: { maxConcurrentStreams: 3 } })
  door.onExchange = () => {}
  client.send(...[1, 3, 5, 7].map((id) => headers(id, get('/'))))
  t.equal(await client.reset(7), ERROR.refusedStream)
  t.equal(door.seen.length, 3)
})

t.test('a client that does not read is not read either, and loses nothing', async (t) => {
  const { door, client } = await start(t)
  const body = Buffer.alloc(30_000_000, 'b')
  door.ready.set('/x', readyAnswer(body))
  client.send(windowUpdate(0, 0x7000_0000), settings([4, 0x7000_0000]))
  await client.roundTrip()
  client.socket.pause()
  client.send(headers(1, get('/x')))
  // Far more answers than the room for control frames holds.
  for (let i = 0; i < 1500; i++) client.send(ping)
  client.socket.resume()
  t.equal((await client.response(1)).body.length, body.length)
  await client.next(() => client.frames.filter(client.ofType(FRAME.ping)).length === 1501)
})

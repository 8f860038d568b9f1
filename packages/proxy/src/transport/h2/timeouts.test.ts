import t, { type Test } from 'tap'
import { Fields } from '../../http/fields.ts'
import { CLIENT_PREFACE, ERROR, FLAG, FRAME } from './frame.ts'
import { get, request } from './test-support/block.ts'
import { type EngineServer, startEngine } from './test-support/engine-server.ts'
import {
  data,
  frame,
  headers,
  RawClient,
  settings,
  windowUpdate,
} from './test-support/raw-client.ts'
import { readyAnswer, ScriptedDoor } from './test-support/scripted-door.ts'

/** Time stands still at 1000 ms until the test moves it. Limits: those of a default configuration. */
async function start(t: Test, bare = false) {
  const door = new ScriptedDoor()
  door.onExchange = () => {}
  const server = await startEngine(door, { handMoved: true })
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port, { bare })
  t.teardown(() => client.destroy())
  return { door, client, server }
}

/** Moves time on in steps that deadlines notice, with the frames of `between` in each. */
async function pass(
  server: EngineServer,
  client: RawClient,
  fromMs: number,
  toMs: number,
  between: () => Buffer[] = () => [],
): Promise<void> {
  for (let ms = fromMs; ms <= toMs; ms += 1000) {
    const frames = between()
    if (frames.length > 0) client.send(...frames)
    if (!client.socket.destroyed) await client.roundTrip()
    server.moveTo(ms)
    await new Promise(setImmediate)
  }
}

t.test('a connection that says nothing is closed (headerTimeoutMs)', async (t) => {
  const { client, server } = await start(t, true)
  await client.next(client.ofType(FRAME.settings))
  server.moveTo(10_900)
  t.notOk(client.frames.some(client.ofType(FRAME.goaway)))
  server.moveTo(11_200)
  await client.goaway()
})

t.test('a field section that does not end is cut off (headerTimeoutMs)', async (t) => {
  const { client, server } = await start(t)
  // In one write, so that the answer to PING says that both have come.
  client.send(
    frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
    frame(FRAME.headers, FLAG.endStream, 1, get('/')),
  )
  await client.next(client.ofType(FRAME.ping))
  server.moveTo(11_200)
  t.equal(await client.goaway(), ERROR.protocol)
})

t.test('a client that is always in the middle of some head is not slow', async (t) => {
  const { door, client, server } = await start(t)
  door.ready.set('/x', readyAnswer(null))
  const requests = Array.from({ length: 9 }, (_, i) => headers(2 * i + 1, get('/x')))
  const bytes = Buffer.concat(requests)
  const size = requests[0].length
  let sent = 0
  for (let i = 0; i < 8; i++) {
    const end = (i + 1) * size + 10
    client.send(bytes.subarray(sent, end))
    sent = end
    await client.response(2 * i + 1)
    server.moveTo(1000 + (i + 1) * 6000)
  }
  t.notOk(client.frames.some(client.ofType(FRAME.goaway)), 'each head came in time')
  server.moveTo(60_000)
  t.equal(await client.goaway(), ERROR.protocol, 'but the last does not')
})

t.test('SETTINGS must be acknowledged in 10 s (§6.5.3)', async (t) => {
  const { client, server } = await start(t, true)
  client.send(CLIENT_PREFACE, settings())
  await client.roundTrip()
  server.moveTo(11_200)
  t.equal(await client.goaway(), ERROR.settingsTimeout)
})

t.test('an idle connection is closed without an error (idleTimeoutMs)', async (t) => {
  const { door, client, server } = await start(t)
  door.ready.set('/x', readyAnswer(null))
  await client.roundTrip()
  server.moveTo(50_000)
  client.send(headers(1, get('/x')))
  await client.response(1)
  await client.roundTrip()
  server.moveTo(109_000)
  await client.roundTrip()
  t.notOk(client.frames.some(client.ofType(FRAME.goaway)), 'a request starts the time anew')
  server.moveTo(110_200)
  t.equal(await client.goaway(), ERROR.none)
})

t.test('an open exchange keeps its connection (idleTimeoutMs)', async (t) => {
  const { client, server } = await start(t)
  client.send(headers(1, get('/')))
  await client.roundTrip()
  server.moveTo(200_000)
  await client.roundTrip()
  t.notOk(client.frames.some(client.ofType(FRAME.goaway)))
})

t.test('a request body below the minimum rate is cut (minBodyBytesPerSecond)', async (t) => {
  const { door, client, server } = await start(t)
  door.onExchange = ({ body }) => body?.consume({ onChunk() {}, onEnd() {}, onAbort() {} })
  client.send(headers(1, request('POST', '/slow'), false), headers(3, request('POST', '/'), false))
  await pass(server, client, 2000, 36_000, () => [
    ...(client.frames.some(client.ofType(FRAME.resetStream, 1)) ? [] : [data(1, 'x')]),
    data(3, Buffer.alloc(300)),
  ])
  t.equal(await client.reset(1), ERROR.cancel)
  t.equal((await door.seen[0].closed).complete, false)
  t.notOk(client.frames.some(client.ofType(FRAME.resetStream, 3)), 'an honest one goes on')
})

t.test('a body that we keep waiting is not blamed on the client', async (t) => {
  const { door, client, server } = await start(t)
  door.onExchange = ({ body }) => {
    body?.consume({ onChunk: () => body.pause(), onEnd() {}, onAbort() {} })
  }
  client.send(headers(1, request('POST', '/'), false), data(1, 'x'))
  await pass(server, client, 2000, 70_000)
  t.notOk(client.frames.some(client.ofType(FRAME.resetStream)))
})

t.test('a body must end in bodyTimeoutMs', async (t) => {
  const { door, client, server } = await start(t)
  door.onExchange = ({ body }) => body?.consume({ onChunk() {}, onEnd() {}, onAbort() {} })
  client.send(headers(1, request('POST', '/'), false))
  let sent = 1000
  await pass(server, client, 2000, 306_000, () => {
    sent += 1000
    return sent < 302_000 ? [data(1, Buffer.alloc(300))] : []
  })
  t.equal(await client.reset(1), ERROR.cancel)
})

for (const [name, dribble] of [
  ['opens no window', () => []],
  ['opens its window octet by octet', () => [windowUpdate(1, 1)]],
] as const) {
  t.test(
    `a client that ${name} loses the stream, not the connection (writeTimeoutMs)`,
    async (t) => {
      const { door, client, server } = await start(t)
      door.onExchange = (exchange) =>
        exchange.respond({ status: 200, fields: new Fields() }, Buffer.alloc(100_000))
      client.send(settings([4, 0]), headers(1, get('/')))
      await pass(server, client, 2000, 37_000, () => [...dribble()])
      t.equal(await client.reset(1), ERROR.cancel)
      t.equal((await door.seen[0].closed).complete, false)
      await client.roundTrip()
      t.notOk(client.frames.some(client.ofType(FRAME.goaway)))
    },
  )
}

t.test(
  'a response that waits for others to use the connection window is not stalled',
  async (t) => {
    const { door, client, server } = await start(t)
    door.onExchange = (exchange) =>
      exchange.respond({ status: 200, fields: new Fields() }, Buffer.alloc(1_000_000))
    client.send(settings([4, 0x7000_0000]), headers(1, get('/', ['priority', 'u=0'])))
    client.send(headers(3, get('/')))
    await pass(server, client, 2000, 70_000, () => [windowUpdate(0, 1000)])
    t.notOk(client.frames.some(client.ofType(FRAME.resetStream)))
    await pass(server, client, 71_000, 110_000)
    t.equal(await client.reset(1), ERROR.cancel)
    t.equal(await client.reset(3), ERROR.cancel, 'when nobody progresses, all are')
  },
)

t.test('a client that takes no bytes loses the connection (writeTimeoutMs)', async (t) => {
  const { door, client, server } = await start(t)
  const { promise: filled, resolve } = Promise.withResolvers<void>()
  client.send(settings([4, 0x7fff_0000]), windowUpdate(0, 0x7fff_0000))
  await client.roundTrip()
  client.socket.pause()
  door.onExchange = (exchange) => {
    const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
    const chunk = Buffer.alloc(65_536)
    let turns = 0
    const fill = () => {
      while (writer.write(chunk));
      turns = 0
    }
    writer.onDrain = fill
    fill()
    // Full when the kernel takes no more for some turns of the loop.
    const poll = () => {
      if (++turns > 200) resolve()
      else setImmediate(poll)
    }
    poll()
  }
  client.send(headers(1, get('/')))
  await filled
  server.moveTo(40_000)
  const { closed } = await door.exchange(0)
  t.equal((await closed).complete, false)
  client.socket.resume()
  await client.ended
})

t.test('a drain waits neither for a first request nor for a PING ACK for ever', async (t) => {
  const { client, server } = await start(t)
  await client.roundTrip()
  for (const connection of server.connections) connection.drain()
  server.moveTo(3200)
  await client.next(client.ofType(FRAME.goaway))
  server.moveTo(4500)
  t.equal(await client.goaway(), ERROR.none)
  t.equal(client.frames.filter(client.ofType(FRAME.goaway)).length, 2)
})

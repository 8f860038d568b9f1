import t, { type Test } from 'tap'
import { Fields } from '../../http/fields.ts'
import type { Exchange, ResponseWriter } from '../exchange.ts'
import { ERROR, FLAG, FRAME, readUint31 } from './frame.ts'
import { block, get, request } from './test-support/block.ts'
import { type EngineServerOptions, startEngine } from './test-support/engine-server.ts'
import {
  data,
  headers,
  RawClient,
  resetStream,
  settings,
  windowUpdate,
} from './test-support/raw-client.ts'
import { readBody, readyAnswer, respondText, ScriptedDoor } from './test-support/scripted-door.ts'

async function start(t: Test, options: EngineServerOptions = {}) {
  const door = new ScriptedDoor()
  const server = await startEngine(door, options)
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port)
  t.teardown(() => client.destroy())
  return { door, client, server }
}

const head = (status: number, ...list: string[]) => ({ status, fields: new Fields(list) })

t.test('a request body and its trailers arrive whole', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = async (exchange) => {
    const { body, trailers } = await readBody(exchange)
    respondText(exchange, 200, `${body} ${trailers?.get('x-sum')}`)
  }
  client.send(headers(1, request('POST', '/'), false), data(1, 'one '), data(1, 'two'))
  client.send(headers(1, block([['x-sum', '7']])))
  t.equal((await client.response(1)).body.toString(), 'one two 7')
  t.strictSame(await door.seen[0].closed, { complete: true, bytesSent: 9 })
})

t.test('response trailers follow the content (§8.1)', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) => {
    const writer = exchange.respondStreaming(head(200))
    writer.write(Buffer.from('content'))
    writer.end(new Fields(['x-sum', '7']))
  }
  client.send(headers(1, get('/')))
  const response = await client.response(1)
  t.equal(response.body.toString(), 'content')
  t.equal(response.trailers?.get('x-sum'), '7')
})

t.test(
  'interim responses precede the final one, and 100 comes when the body is wanted',
  async (t) => {
    const { door, client } = await start(t)
    door.onExchange = async (exchange) => {
      exchange.inform(103, new Fields(['link', '</a.css>']))
      exchange.inform(101, new Fields())
      const { body } = await readBody(exchange)
      respondText(exchange, 200, body.toString())
      exchange.inform(103, new Fields())
    }
    client.send(headers(1, request('POST', '/', ['expect', '100-continue']), false))
    await client.next(
      (f) => f.type === FRAME.headers && client.partOfResponse(1).informed.length === 2,
    )
    client.send(data(1, 'go', true))
    const response = await client.response(1)
    t.strictSame(response.informed, [[':status: 103', 'link: </a.css>'], [':status: 100']])
    t.equal(response.body.toString(), 'go')
  },
)

t.test(
  'a body nobody consumes is bounded by its window and its connection stays usable',
  async (t) => {
    const { door, client } = await start(t)
    door.onExchange = (exchange) => {
      if (exchange.body === null) respondText(exchange, 200, 'ok')
    }
    client.send(headers(1, request('POST', '/'), false), data(1, Buffer.alloc(16_000)))
    for (let i = 0; i < 3; i++) client.send(data(1, Buffer.alloc(16_000)))
    client.send(headers(3, get('/')))
    await client.response(3)
    t.notOk(client.frames.some(client.ofType(FRAME.windowUpdate, 1)), 'no window was given back')
  },
)

t.test('pause() stops the flow and resume() starts it again (§5.2)', async (t) => {
  const { door, client } = await start(t)
  const chunks: number[] = []
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  door.onExchange = ({ body }) =>
    body?.consume({
      onChunk: (chunk) => {
        chunks.push(chunk.length)
        if (chunks.length === 1) body.pause()
      },
      onEnd: () => resolve(),
      onAbort() {},
    })
  client.send(headers(1, request('POST', '/'), false))
  for (let i = 0; i < 60; i++) client.send(data(1, Buffer.alloc(1000)))
  await client.roundTrip()
  t.ok(chunks.length <= 2, 'at most one more chunk after pause')
  t.notOk(client.frames.some(client.ofType(FRAME.windowUpdate, 1)))
  door.seen[0].exchange.body?.resume()
  await client.next(client.ofType(FRAME.windowUpdate, 1))
  client.send(data(1, Buffer.alloc(1000), true))
  await ended
  t.equal(
    chunks.reduce((a, b) => a + b),
    61_000,
  )
})

t.test('content that waits is kept as it came, however it was cut', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = () => {}
  client.send(headers(1, request('POST', '/'), false))
  const sizes = [1, 2, 4000, 93, 1, 5000, 1, 16_000, 3, 4095, 1, 1, 8000]
  const pieces = sizes.map((size, i) => Buffer.alloc(size, i + 1))
  for (const [i, piece] of pieces.entries()) client.send(data(1, piece, i === sizes.length - 1))
  await client.roundTrip()
  const { body } = await readBody(door.seen[0].exchange)
  t.ok(body.equals(Buffer.concat(pieces)))
})

t.test('uploads of all streams go on when one of them is not consumed', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = async (exchange) => {
    if (exchange.request.target === '/stuck') return
    const { body } = await readBody(exchange)
    respondText(exchange, 200, String(body.length))
  }
  client.send(headers(1, request('POST', '/stuck'), false))
  for (let i = 0; i < 4; i++) client.send(data(1, Buffer.alloc(16_000)))
  client.send(headers(3, request('POST', '/'), false))
  let window = 65_535
  let sent = 0
  const given = () =>
    client.frames
      .filter(client.ofType(FRAME.windowUpdate, 3))
      .reduce((sum, f) => sum + readUint31(f.payload, 0), 65_535)
  while (sent < 2_000_000) {
    if (window < 16_000) {
      const before = given()
      if (before - sent < 16_000) await client.next(() => given() > before)
      window = given() - sent
      continue
    }
    client.send(data(3, Buffer.alloc(16_000)))
    window -= 16_000
    sent += 16_000
  }
  client.send(data(3, '', true))
  t.equal((await client.response(3)).body.toString(), String(sent))
})

t.test('a reset by the client is heard at once (§5.4.2)', async (t) => {
  const { door, client } = await start(t)
  let aborted = 0
  door.onExchange = ({ body }) =>
    body?.consume({ onChunk() {}, onEnd() {}, onAbort: () => aborted++ })
  client.send(headers(1, request('POST', '/'), false), data(1, 'x'), resetStream(1))
  const { closed, exchange } = await door.exchange(0)
  t.strictSame(await closed, { complete: false, bytesSent: 0 })
  t.equal(aborted, 1)
  respondText(exchange, 200, 'late')
  await client.roundTrip()
  t.notOk(client.frames.some(client.ofType(FRAME.headers)), 'nothing is sent on it')
})

t.test('a lost connection closes every exchange', async (t) => {
  const { door, client, server } = await start(t)
  door.onExchange = () => {}
  client.send(headers(1, get('/')), headers(3, get('/')))
  await door.exchange(1)
  client.destroy()
  for (const { closed } of door.seen) t.equal((await closed).complete, false)
  t.equal(server.connections.size, 0)
})

t.test('an early response ends the request without an error (§8.1)', async (t) => {
  const { door, client } = await start(t)
  let aborted = 0
  door.onExchange = (exchange) => {
    exchange.body?.consume({ onChunk() {}, onEnd() {}, onAbort: () => aborted++ })
    respondText(exchange, 413, 'no')
  }
  client.send(headers(1, request('POST', '/'), false))
  t.equal((await client.response(1)).status, 413)
  t.equal(await client.reset(1), ERROR.none)
  client.send(data(1, 'in flight'), data(1, '', true), headers(3, get('/')))
  t.equal((await client.response(3)).status, 413)
  t.equal((await door.seen[0].closed).complete, true)
  t.equal(aborted, 1, 'the sink hears that the body will not be whole')
})

for (const [name, respond, expected] of [
  [
    'surplus content never leaves',
    (e: Exchange) => e.respond(head(200, 'content-length', '3'), Buffer.from('abcdef')),
    { body: 'abc' },
  ],
  [
    'HEAD has no content',
    (e: Exchange) => e.respond(head(200, 'content-length', '6'), Buffer.from('abcdef')),
    { method: 'HEAD', body: '', length: '6' },
  ],
  ['204 has no content', (e: Exchange) => e.respond(head(204), Buffer.from('abc')), { body: '' }],
  [
    '304 has no content',
    (e: Exchange) => e.respond(head(304, 'content-length', '9'), Buffer.from('abc')),
    { body: '', length: '9' },
  ],
  ['a response without content', (e: Exchange) => e.respond(head(200), null), { body: '' }],
] as const) {
  t.test(`${name} (RFC 9110 §6.4.1, §8.6)`, async (t) => {
    const { door, client } = await start(t)
    door.onExchange = respond
    const method = 'method' in expected ? expected.method : 'GET'
    client.send(headers(1, request(method, '/')))
    const response = await client.response(1)
    t.equal(response.body.toString(), expected.body)
    if ('length' in expected) t.equal(response.head.get('content-length'), expected.length)
    t.equal((await door.seen[0].closed).complete, true)
  })
}

t.test('a streamed response to HEAD ends with its head', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) => {
    const writer = exchange.respondStreaming(head(200, 'content-length', '6'))
    setImmediate(() => {
      writer.write(Buffer.from('abcdef'))
      writer.end()
    })
  }
  client.send(headers(1, request('HEAD', '/')), headers(3, request('HEAD', '/')))
  t.equal((await client.response(1)).status, 200)
  await client.response(3)
  t.notOk(client.frames.some(client.ofType(FRAME.data)))
})

t.test('content short of Content-Length is never taken for whole (§8.1.1)', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) => {
    const writer = exchange.respondStreaming(head(200, 'content-length', '9'))
    writer.write(Buffer.from('abc'))
    writer.end()
  }
  client.send(headers(1, get('/')))
  t.equal(await client.reset(1), ERROR.internal)
  t.equal((await door.seen[0].closed).complete, false)
})

t.test('abort() can be told from a whole response', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) => exchange.respondStreaming(head(200)).write(Buffer.from('abc'))
  client.send(headers(1, get('/')))
  await client.next(client.ofType(FRAME.data, 1))
  door.seen[0].exchange.abort()
  t.equal(await client.reset(1), ERROR.internal)
  t.strictSame(await door.seen[0].closed, { complete: false, bytesSent: 3 })
})

t.test('fields of the connection do not reach the client, Date does (§8.2.2)', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) =>
    exchange.respond(head(200, 'connection', 'x', 'transfer-encoding', 'chunked', 'x', 'y'), null)
  client.send(headers(1, get('/')))
  const { head: fields } = await client.response(1)
  t.strictSame([...fields.keys()], [':status', 'x', 'date'])
})

t.test('a writer waits when 64 KiB are unsent, and goes on when they are not', async (t) => {
  const { door, client } = await start(t)
  let writer: ResponseWriter | null = null
  let taken = 0
  const chunk = Buffer.alloc(10_000, 'w')
  const fill = () => {
    do taken++
    while (writer?.write(chunk) && taken < 50)
    if (taken === 50) writer?.end()
  }
  door.onExchange = (exchange) => {
    writer = exchange.respondStreaming(head(200))
    writer.onDrain = fill
    fill()
  }
  client.send(settings([4, 0]), headers(1, get('/')))
  await client.next(client.ofType(FRAME.headers, 1))
  await client.roundTrip()
  t.equal(taken, 7, 'no window: 64 KiB and no more')
  client.send(windowUpdate(1, 20_000))
  await client.roundTrip()
  t.equal(taken, 7, 'more than half is left')
  client.send(windowUpdate(1, 1_000_000), windowUpdate(0, 1_000_000))
  t.equal((await client.response(1)).body.length, 500_000)
  t.strictSame(await door.seen[0].closed, { complete: true, bytesSent: 500_000 })
})

t.test('the connection window holds all streams back, and lets them go (§6.9.1)', async (t) => {
  const { door, client } = await start(t)
  door.ready.set('/x', readyAnswer(Buffer.alloc(60_000)))
  client.send(headers(1, get('/x')), headers(3, get('/x')), headers(5, request('HEAD', '/x')))
  await client.response(1)
  t.equal((await client.response(5)).status, 200, 'a head needs no window')
  await client.roundTrip()
  t.equal(client.partOfResponse(3).body.length, 65_535 - 60_000)
  client.send(windowUpdate(0, 100_000))
  t.equal((await client.response(3)).body.length, 60_000)
})

t.test('a window that SETTINGS makes negative is respected (§6.9.2)', async (t) => {
  const { door, client } = await start(t)
  door.ready.set('/x', readyAnswer(Buffer.alloc(40)))
  client.send(settings([4, 10]), headers(1, get('/x')))
  await client.next(client.ofType(FRAME.data, 1))
  client.send(settings([4, 2]), windowUpdate(1, 8))
  await client.roundTrip()
  t.equal(client.partOfResponse(1).body.length, 10)
  client.send(windowUpdate(1, 1))
  await client.roundTrip()
  t.equal(client.partOfResponse(1).body.length, 11)
  client.send(windowUpdate(1, 29))
  t.equal((await client.response(1)).body.length, 40)
})

t.test('a head of more than one frame is continued (§6.10)', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) =>
    exchange.respond(head(200, 'x-long', 'v'.repeat(40_000)), Buffer.from('ok'))
  client.send(headers(1, get('/')))
  const response = await client.response(1)
  t.equal(response.head.get('x-long')?.length, 40_000)
  t.equal(client.frames.filter(client.ofType(FRAME.continuation)).length, 2)
})

t.test('a head that no buffer holds is an error of ours', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = (exchange) => exchange.respond(head(200, 'x-long', 'v'.repeat(80_000)), null)
  client.send(headers(1, get('/')))
  t.equal(await client.reset(1), ERROR.internal)
})

t.test('what the pipeline throws costs one stream', async (t) => {
  const { door, client } = await start(t)
  const answer = door.onExchange
  door.onExchange = (exchange) => {
    if (exchange.request.target === '/throw') throw new Error('broken handler')
    if (exchange.body === null) return answer(exchange)
    const onChunk = () => {
      throw new Error('broken sink')
    }
    exchange.body.consume({ onChunk, onEnd() {}, onAbort() {} })
  }
  door.onLookUp = ({ target }) => {
    if (target === '/look-up') throw new Error('broken look-up')
  }
  client.send(headers(1, get('/throw')), headers(3, get('/look-up')))
  client.send(headers(5, request('POST', '/'), false), data(5, 'x'), headers(7, get('/')))
  for (const id of [1, 3, 5]) t.equal(await client.reset(id), ERROR.internal)
  t.equal((await client.response(7)).status, 200)
  t.match(
    door.refusals.map(({ reason }) => reason),
    [/broken handler/, /broken look-up/, /broken sink/],
  )
})

t.test('frames cut anywhere are put together again', async (t) => {
  const { door, client } = await start(t)
  door.onExchange = async (exchange) => {
    const { body } = await readBody(exchange)
    respondText(exchange, 200, body.toString())
  }
  const bytes = Buffer.concat([
    headers(1, request('POST', '/'), false),
    data(1, 'abc'),
    data(1, 'def', true),
  ])
  for (const byte of bytes) {
    client.send(Buffer.of(byte))
    await new Promise(setImmediate)
  }
  t.equal((await client.response(1)).body.toString(), 'abcdef')
})

t.test('a drain finishes what is under way and refuses what is new (§6.8)', async (t) => {
  const { door, client, server } = await start(t)
  door.onExchange = () => {}
  client.send(headers(1, get('/')))
  const { exchange } = await door.exchange(0)
  for (const connection of server.connections) connection.drain()
  const first = await client.next(client.ofType(FRAME.goaway))
  t.equal(readUint31(first.payload, 0), 0x7fff_ffff)
  client.send(headers(3, get('/')))
  const ping = await client.next(client.ofType(FRAME.ping))
  await door.exchange(1)
  client.send(Buffer.concat([Buffer.of(0, 0, 8, FRAME.ping, FLAG.ack, 0, 0, 0, 0), ping.payload]))
  const last = await client.next((f) => f.type === FRAME.goaway && f !== first)
  t.equal(readUint31(last.payload, 0), 3)
  client.send(headers(5, get('/')))
  await client.roundTrip()
  t.equal(door.seen.length, 2, 'the third is left for another connection')
  respondText(exchange, 200, 'ok')
  respondText(door.seen[1].exchange, 200, 'ok')
  t.equal((await client.response(1)).status, 200)
  t.equal((await client.response(3)).status, 200)
  await client.ended
  t.notOk(client.frames.some(client.ofType(FRAME.resetStream)))
})

t.test('a drain lets a new connection bring its first request before it says so', async (t) => {
  const { client, server } = await start(t)
  for (const connection of server.connections) connection.drain()
  await client.roundTrip()
  t.notOk(client.frames.some(client.ofType(FRAME.goaway)))
  client.send(headers(1, get('/')))
  t.equal((await client.response(1)).status, 200)
  await client.next(client.ofType(FRAME.goaway))
})

t.test('the last request that a connection may carry is answered (GOAWAY)', async (t) => {
  const { client } = await start(t, { limits: { maxRequestsPerConnection: 2 } })
  client.send(headers(1, get('/')), headers(3, get('/')), headers(5, get('/')))
  t.equal((await client.response(3)).status, 200)
  const goaway = await client.next(client.ofType(FRAME.goaway))
  t.equal(readUint31(goaway.payload, 0), 3)
  await client.ended
  t.equal(client.partOfResponse(5).status, 0)
})

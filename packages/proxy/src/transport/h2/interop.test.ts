import { once } from 'node:events'
import http2 from 'node:http2'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Fields } from '../../http/fields.ts'
import { startEngine } from './test-support/engine-server.ts'
import { LOCALHOST_CERT, LOCALHOST_KEY } from './test-support/localhost-certificate.ts'
import { RawClient } from './test-support/raw-client.ts'
import { readBody, readyAnswer, respondText, ScriptedDoor } from './test-support/scripted-door.ts'

/** The engine behind TLS, and the client of node:http2 in front of it. */
async function start(t: Test) {
  const door = new ScriptedDoor()
  const server = await startEngine(door, { tls: { key: LOCALHOST_KEY, cert: LOCALHOST_CERT } })
  t.teardown(() => server.close())
  const session = http2.connect(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false })
  session.on('error', (error) => t.fail(error))
  t.teardown(() => session.destroy())
  return { door, server, session }
}

async function responseTo(stream: http2.ClientHttp2Stream) {
  const [headers] = await once(stream, 'response')
  return { headers, body: await text(stream) }
}

t.test('hits, misses, HEAD and many streams at once', async (t) => {
  const { door, session } = await start(t)
  door.ready.set('/hit', readyAnswer(Buffer.alloc(5000, 'h')))
  door.onExchange = (exchange) => respondText(exchange, 200, exchange.request.target)
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      responseTo(session.request({ ':path': i % 2 === 0 ? '/hit' : `/miss/${i}` })),
    ),
  )
  for (const [i, { body }] of answers.entries()) {
    t.equal(body.length, i % 2 === 0 ? 5000 : `/miss/${i}`.length)
  }
  const head = await responseTo(session.request({ ':path': '/hit', ':method': 'HEAD' }))
  t.equal(head.headers['content-length'], '5000')
  t.equal(head.body, '')
  t.equal(door.seen[0].exchange.request.scheme, 'https')
})

t.test('large bodies both ways with back-pressure, and trailers both ways', async (t) => {
  const { door, session } = await start(t)
  door.onExchange = (exchange) => {
    const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
    writer.onDrain = () => exchange.body?.resume()
    exchange.body?.consume({
      onChunk: (chunk) => {
        if (!writer.write(chunk)) exchange.body?.pause()
      },
      onEnd: (trailers) => writer.end(trailers ?? undefined),
      onAbort: () => exchange.abort(),
    })
  }
  const stream = session.request({ ':method': 'POST', ':path': '/echo' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }))
  const trailers = once(stream, 'trailers')
  const size = 8_000_000
  stream.end(Buffer.alloc(size, 'e'))
  const { body } = await responseTo(stream)
  t.equal(body.length, size)
  t.equal((await trailers)[0]['x-sum'], '42')
})

t.test('interim responses, 100 (Continue) and Early Hints', async (t) => {
  const { door, session } = await start(t)
  door.onExchange = async (exchange) => {
    exchange.inform(103, new Fields(['link', '</a.css>; rel=preload']))
    const { body } = await readBody(exchange)
    respondText(exchange, 200, body.toString())
  }
  const stream = session.request({ ':method': 'PUT', ':path': '/', expect: '100-continue' })
  const hints = once(stream, 'headers')
  await once(stream, 'continue')
  stream.end('body')
  t.equal((await responseTo(stream)).body, 'body')
  t.equal((await hints)[0][':status'], 103)
})

t.test('a cancelled request is heard', async (t) => {
  const { door, session } = await start(t)
  door.onExchange = (exchange) => {
    exchange.respondStreaming({ status: 200, fields: new Fields() }).write(Buffer.from('part'))
  }
  const stream = session.request({ ':path': '/' })
  await once(stream, 'data')
  stream.close(http2.constants.NGHTTP2_CANCEL)
  const { closed } = await door.exchange(0)
  t.strictSame(await closed, { complete: false, bytesSent: 4 })
})

t.test('a client without a dynamic table understands every response', async (t) => {
  const { door, server } = await start(t)
  door.onExchange = (exchange) => respondText(exchange, 200, 'ok')
  const session = http2.connect(`https://127.0.0.1:${server.port}`, {
    rejectUnauthorized: false,
    settings: { headerTableSize: 0 },
  })
  t.teardown(() => session.destroy())
  for (let i = 0; i < 3; i++) t.equal((await responseTo(session.request())).body, 'ok')
})

t.test('a drain ends the session when its streams are done', async (t) => {
  const { door, server, session } = await start(t)
  door.onExchange = () => {}
  const response = responseTo(session.request())
  const { exchange } = await door.exchange(0)
  for (const connection of server.connections) connection.drain()
  await once(session, 'goaway')
  respondText(exchange, 200, 'late but whole')
  t.equal((await response).body, 'late but whole')
  await once(session, 'close')
  while (server.connections.size > 0) await new Promise(setImmediate)
})

t.test('bytes that are no HTTP/2 inside TLS end the connection', async (t) => {
  const { server } = await start(t)
  const client = await RawClient.connect(server.port, { tls: true, bare: true })
  client.send(Buffer.from('GET / HTTP/1.1\r\nhost: a.test\r\n\r\n'))
  await client.goaway()
})

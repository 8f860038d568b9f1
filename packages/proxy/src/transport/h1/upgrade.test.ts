import t, { type Test } from 'tap'
import { Fields } from '../../http/fields.ts'
import type { Exchange } from '../exchange.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { eventually, still, switched, type UpgradeRecord } from '../test-support/upgrade-record.ts'
import { exchangeRaw, parseResponses, RawClient } from './support/raw-client.ts'
import {
  readyAnswer,
  respondText,
  type ServerUnderTest,
  startServer,
} from './support/server-under-test.ts'
import { SWITCHED, UPGRADE, UPGRADE_REQUEST } from './support/upgrading.ts'

const GET = 'GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n'
const LAST = 'GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n'

function respond(exchange: Exchange, status: number): void {
  const fields = Fields.from([['content-type', 'text/plain']])
  exchange.respond({ status, fields }, Buffer.from(`status ${status}`))
}

/** Waits for the server to have read all that the client sent. */
async function arrived(server: ServerUnderTest, bytes: number): Promise<void> {
  await eventually(() => (server.sockets[server.sockets.length - 1]?.bytesRead ?? 0) >= bytes)
  await new Promise(setImmediate)
}

/** A server whose door switches what it is asked to and writes down what follows. */
async function startSwitching(t: Test) {
  const server = await startServer(t)
  const records: UpgradeRecord[] = []
  server.door.answer = (exchange) => {
    if (exchange.upgrade === null) respondText(exchange, exchange.request.target)
    else records.push(switched(exchange).consume())
  }
  return { server, records }
}

t.test('a switch is answered with 101, Connection and Upgrade (RFC 9110 §7.8)', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    t.same(exchange.upgrade, ['chat/2', 'WebSocket'])
    const fields = Fields.from([
      ['sec-websocket-accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
      ['connection', 'close'],
      ['upgrade', 'h2c'],
      ['content-length', '5'],
      ['transfer-encoding', 'chunked'],
      ['x-split', 'a\r\nset-cookie: b'],
      ['bad name', 'x'],
    ])
    const connection = exchange.switchProtocols('websocket', fields)
    if (typeof connection === 'string') throw new Error(connection)
    t.equal(connection.protocol, 'WebSocket')
    connection.write(Buffer.from('hello'))
    connection.end()
  }
  const offer = 'Connection: keep-alive, Upgrade\r\nUpgrade: chat/2\r\nUpgrade: WebSocket\r\n'
  const client = await RawClient.connect(port)
  client.send(`GET / HTTP/1.1\r\nHost: a.test\r\n${offer}\r\n`)
  t.equal(
    await client.rest(),
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n' +
      'sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello',
  )
})

t.test('octets in the segment of the request are the first of the new protocol', async (t) => {
  const { server, records } = await startSwitching(t)
  const client = await RawClient.connect(server.port)
  await client.send(`${UPGRADE_REQUEST}early`).receive('\r\n\r\n')
  client.send(' and late')
  await eventually(() => records[0].text === 'early and late')
  t.same(server.door.requests, ['GET /up'])
  client.socket.destroy()
})

const NO_OFFERS: [name: string, request: string][] = [
  ['HTTP/1.0', `GET / HTTP/1.0\r\nHost: a.test\r\n${UPGRADE}\r\n`],
  ['no Connection', 'GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: raw\r\n\r\n'],
  [
    'Connection without the option',
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\nUpgrade: raw\r\n\r\n',
  ],
  [
    'a connection that ends',
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, upgrade\r\nUpgrade: raw\r\n\r\n',
  ],
  ['the option alone', 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\n\r\n'],
  [
    'no protocol',
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: raw raw\r\n\r\n',
  ],
]

t.test('an offer that does not count is a request like others', async (t) => {
  const { port, door } = await startServer(t)
  for (const [name, request] of NO_OFFERS) {
    door.answer = (exchange) => {
      if (exchange.request.target === '/') {
        t.equal(exchange.upgrade, null, name)
        t.equal(exchange.switchProtocols('raw', new Fields()), 'not-asked', name)
      }
      respondText(exchange, exchange.request.target)
    }
    const answers = parseResponses(await exchangeRaw(port, request + LAST))
    t.equal(answers[0].body, '/', name)
  }
})

t.test('only what was offered is switched to, h2c no sooner than anything', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    if (exchange.upgrade !== null) {
      for (const protocol of [
        'h2c',
        'websocket',
        'raw/1',
        '',
        'raw\r\nset-cookie: a',
        'raw, h2c',
      ]) {
        t.equal(exchange.switchProtocols(protocol, new Fields()), 'not-offered', protocol)
      }
    }
    respondText(exchange, exchange.request.target)
  }
  const answers = parseResponses(await exchangeRaw(port, UPGRADE_REQUEST + LAST))
  t.same(
    answers.map(({ status, body }) => [status, body]),
    [
      [200, '/up'],
      [200, '/last'],
    ],
  )
  t.notOk(answers[0].fields.has('upgrade'))
})

t.test('a door that switches nothing answers an offer of h2c as any request', async (t) => {
  const { port } = await startServer(t)
  const offer =
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const text = await exchangeRaw(port, `GET / HTTP/1.1\r\nHost: a.test\r\n${offer}\r\n${preface}`)
  t.same(
    parseResponses(text).map(({ status }) => status),
    [200, 400],
  )
})

t.test('a protocol that breaks its line is refused with the request (RFC 9112 §5)', async (t) => {
  const { port, door } = await startServer(t)
  for (const value of ['raw\rX: y', 'raw\nX: y', 'raw\r\n X: y', 'r\0aw', 'raw\x0b']) {
    const request = `GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: ${value}\r\n\r\n`
    const answers = parseResponses(await exchangeRaw(port, request + SMUGGLED))
    t.same(
      answers.map(({ status }) => status),
      [400],
      JSON.stringify(value),
    )
  }
  t.same(door.requests, [])
})

t.test('an exchange is switched once, and not after its answer or its end', async (t) => {
  const { port, door } = await startServer(t)
  const again = (exchange: Exchange) => exchange.switchProtocols('raw', new Fields())
  door.answer = (exchange) => {
    switched(exchange)
    t.equal(again(exchange), 'answered')
    respondText(exchange, 'no more HTTP')
    exchange.inform(103, new Fields())
    exchange.respondStreaming({ status: 200, fields: new Fields() }).write(Buffer.from('nor that'))
    setImmediate(() => exchange.abort())
  }
  const cut = await RawClient.connect(port)
  await cut.send(UPGRADE_REQUEST).until(() => cut.closed)
  t.equal(cut.received, `${SWITCHED}\r\n`)
  t.equal(again(door.exchanges[0]), 'answered')

  door.answer = (exchange) => {
    respondText(exchange, 'no')
    t.equal(again(exchange), 'answered')
  }
  const client = await RawClient.connect(port)
  await client.send(UPGRADE_REQUEST).receive('no')
  client.socket.destroy()

  door.answer = () => {}
  const gone = await RawClient.connect(port)
  gone.send(UPGRADE_REQUEST)
  await eventually(() => door.exchanges.length === 3)
  gone.socket.resetAndDestroy()
  await eventually(() => door.ends.length === 3)
  t.equal(again(door.exchanges[2]), 'answered')
})

t.test('a connection that was destroyed meanwhile is not switched', async (t) => {
  const { port, door, connections } = await startServer(t)
  door.answer = (exchange) => {
    connections[0].destroy()
    t.equal(exchange.switchProtocols('raw', new Fields()), 'answered')
  }
  const client = await RawClient.connect(port)
  await client.send(UPGRADE_REQUEST).until(() => client.ended || client.closed)
  t.equal(client.received, '')
  client.socket.destroy()
})

for (const framing of ['Content-Length', 'chunked'] as const) {
  t.test(`a request with content is read to its end before 101 (${framing})`, async (t) => {
    const server = await startServer(t)
    const { port, door } = server
    const records: UpgradeRecord[] = []
    const refusals: unknown[] = []
    door.answer = (exchange) => {
      refusals.push(exchange.switchProtocols('raw', new Fields()))
      const record = door.consume(exchange, () => records.push(switched(exchange).consume()))
      setImmediate(() => {
        if (!record.ended) refusals.push(exchange.switchProtocols('raw', new Fields()))
      })
    }
    // In the content, a request hides that must never be one.
    const { length } = SMUGGLED
    const [field, content] =
      framing === 'chunked'
        ? ['Transfer-Encoding: chunked', `${length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`]
        : [`Content-Length: ${length}`, SMUGGLED]
    const head = `POST /up HTTP/1.1\r\nHost: a.test\r\n${UPGRADE}${field}\r\n\r\n`
    const client = await RawClient.connect(port)
    client.send(head + content.slice(0, 20))
    await eventually(() => refusals.length === 2)
    t.same(refusals, ['request-unfinished', 'request-unfinished'])
    t.equal(client.received, '')
    await client.send(content.slice(20) + GET).receive('\r\n\r\n')
    await eventually(() => records[0].text === GET)
    t.equal(client.received, `${SWITCHED}\r\n`)
    t.equal(door.bodies[0].text, SMUGGLED)
    t.same(door.requests, ['POST /up'])
    client.socket.destroy()
  })
}

t.test('content that nobody consumed keeps a request from being switched', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    if (exchange.body !== null) {
      t.equal(exchange.switchProtocols('raw', new Fields()), 'request-unfinished')
    }
    respondText(exchange, exchange.request.target)
  }
  const head = `POST /up HTTP/1.1\r\nHost: a.test\r\n${UPGRADE}Content-Length: ${SMUGGLED.length}\r\n\r\n`
  const answers = parseResponses(await exchangeRaw(port, head + SMUGGLED + LAST))
  t.same(
    answers.map(({ body }) => body),
    ['/up', '/last'],
  )
  t.same(door.requests, ['POST /up', 'GET /last'])
})

t.test('Content-Length with Transfer-Encoding is refused whatever is offered', async (t) => {
  const { port, door } = await startServer(t)
  const request = `POST /up HTTP/1.1\r\nHost: a.test\r\n${UPGRADE}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n`
  const answers = parseResponses(await exchangeRaw(port, `${request}0\r\n\r\n${SMUGGLED}`))
  t.same(
    answers.map(({ status }) => status),
    [400],
  )
  t.same(door.requests, [])
})

t.test('who expects 100 (Continue) gets it ahead of 101 (RFC 9110 §7.8)', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    const finish = () => switched(exchange).connection.end()
    if (exchange.body === null) finish()
    else door.consume(exchange, finish)
  }
  const both = `HTTP/1.1 100 Continue\r\n\r\n${SWITCHED}\r\n`
  const expecting = `POST /up HTTP/1.1\r\nHost: a.test\r\n${UPGRADE}Expect: 100-continue\r\n`
  const client = await RawClient.connect(port)
  await client.send(`${expecting}Content-Length: 2\r\n\r\n`).receive('100 Continue\r\n\r\n')
  t.equal(await client.send('hi').rest(), both, 'content that waits')
  const content = `${expecting}Content-Length: 2\r\n\r\nhi`
  t.equal(await exchangeRaw(port, content), both, 'content that has come')
  t.equal(await exchangeRaw(port, `${expecting}\r\n`), both, 'no content')
})

t.test('earlier answers go out first, whichever door gave them', async (t) => {
  const { port, door } = await startServer(t)
  const large = Buffer.alloc(1_000_000, 'x')
  door.ready = (view) => (view.target === '/hit' ? readyAnswer(large) : null)
  door.answer = (exchange) => {
    if (exchange.upgrade === null) setImmediate(() => respondText(exchange, 'miss'))
    else {
      const { connection } = switched(exchange)
      connection.write(Buffer.from('new protocol'))
      connection.end()
    }
  }
  const client = await RawClient.connect(port)
  const text = await client.send(GET.replace('/a', '/hit') + GET + UPGRADE_REQUEST).rest()
  const at = text.indexOf('HTTP/1.1 101')
  const answers = parseResponses(text.slice(0, at))
  t.same(
    answers.map(({ body }) => body.length),
    [large.length, 4],
  )
  t.equal(text.slice(at), `${SWITCHED}\r\nnew protocol`)
})

t.test('an offer from memory is not a hit: the view says that it is unusual', async (t) => {
  const { port, door } = await startServer(t)
  const unusual: boolean[] = []
  door.ready = (view) => {
    unusual.push(view.unusual)
    return null
  }
  const client = await RawClient.connect(port)
  await client.send(UPGRADE_REQUEST + GET).until(() => unusual.length === 2)
  t.same(unusual, [true, false])
  client.socket.destroy()
})

t.test('what follows an undecided offer is bounded, and no request', async (t) => {
  const server = await startServer(t)
  server.door.answer = () => {}
  const client = await RawClient.connect(server.port)
  client.send(UPGRADE_REQUEST + GET.repeat(200_000))
  await arrived(server, 64 * 1024)
  const [socket] = server.sockets
  await still(() => socket.bytesRead)
  t.ok(socket.bytesRead <= 512 * 1024, `${socket.bytesRead} bytes read`)
  t.same(server.door.requests, ['GET /up'])

  // Switched after all: every octet is the new protocol's.
  const { length } = UPGRADE_REQUEST
  const record = switched(server.door.exchanges[0]).consume()
  await eventually(() => record.chunks.reduce((sum, { length }) => sum + length, 0) >= 500_000)
  t.ok(record.text.startsWith(GET + GET))
  t.ok(socket.bytesRead > length + 500_000)
  t.same(server.door.requests, ['GET /up'])
  client.socket.destroy()
})

t.test('what follows the content of an offer is bounded until somebody takes it', async (t) => {
  const server = await startServer(t)
  const { door } = server
  let upgrade: UpgradeRecord | null = null
  door.answer = () => {}
  const client = await RawClient.connect(server.port)
  const head = `POST /up HTTP/1.1\r\nHost: a.test\r\n${UPGRADE}Content-Length: 2\r\n\r\nhi`
  const sent = Buffer.alloc(8 * 1024 * 1024, 'octets ')
  client.send(head).send(sent)
  await arrived(server, 64 * 1024)
  const [socket] = server.sockets
  await still(() => socket.bytesRead)
  door.consume(door.exchanges[0], () => {
    upgrade = switched(door.exchanges[0])
  })
  await eventually(() => upgrade !== null)
  await still(() => socket.bytesRead)
  t.ok(socket.bytesRead <= 512 * 1024, `${socket.bytesRead} bytes read`)
  // The time for the content has ended with it.
  upgrade!.connection.setIdleTimeout(10 * DEFAULT_LIMITS.bodyTimeoutMs)
  server.advance(2 * DEFAULT_LIMITS.bodyTimeoutMs)
  const chunks: Buffer[] = []
  let bytes = 0
  upgrade!.consume((chunk) => {
    chunks.push(chunk)
    bytes += chunk.length
  })
  await eventually(() => bytes === sent.length)
  t.ok(Buffer.concat(chunks).equals(sent))
  t.equal(door.bodies[0].text, 'hi')
  client.socket.destroy()
})

t.test('an offer that is turned down leaves HTTP as it was, with what had come', async (t) => {
  const server = await startServer(t)
  const { port, door } = server
  door.answer = (exchange) => {
    if (exchange.upgrade === null) respondText(exchange, exchange.request.target)
  }
  const client = await RawClient.connect(port)
  client.send(UPGRADE_REQUEST + GET + LAST)
  await arrived(server, UPGRADE_REQUEST.length)
  t.same(door.requests, ['GET /up'], 'nothing is read ahead of the decision')
  respond(door.exchanges[0], 403)
  const answers = parseResponses(await client.rest())
  t.same(
    answers.map(({ status, body }) => [status, body]),
    [
      [403, 'status 403'],
      [200, '/a'],
      [200, '/last'],
    ],
  )
})

t.test('octets of another protocol behind a 403 are no request', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => respond(exchange, 403)
  const text = await exchangeRaw(
    port,
    `${UPGRADE_REQUEST}\x81\x85\x37\xfa\x21\x3d\x7f\x9f${SMUGGLED}`,
  )
  t.same(
    parseResponses(text).map(({ status }) => status),
    [403, 400],
  )
  t.same(door.requests, ['GET /up'])
})

t.test('the last request that a connection may carry can still leave HTTP', async (t) => {
  const { port, door } = await startServer(t, { maxRequestsPerConnection: 1 })
  door.answer = (exchange) => switched(exchange).connection.end()
  const client = await RawClient.connect(port)
  t.equal(await client.send(UPGRADE_REQUEST).rest(), `${SWITCHED}\r\n`)
})

t.test(
  'property: cut in two anywhere, no octet is lost, given twice or taken for another',
  async (t) => {
    const { server, records } = await startSwitching(t)
    const { port, door } = server
    const content = '5\r\nab\r\nc\r\n0\r\n\r\n'
    const head = `POST /up HTTP/1.1\r\nHost: a.test\r\n${UPGRADE}Transfer-Encoding: chunked\r\n\r\n`
    const stream = head + content + GET
    const failures: string[] = []
    const waiting = { wanted: false, decide: () => {} }
    for (const decision of ['switched at once', 'switched later', 'turned down later'] as const) {
      for (let cut = 1; cut < stream.length; cut++) {
        door.requests.length = 0
        door.bodies.length = 0
        records.length = 0
        waiting.wanted = false
        door.answer = (exchange) => {
          if (exchange.upgrade === null) return respondText(exchange, exchange.request.target)
          door.consume(exchange, () => {
            waiting.decide = () => {
              if (decision === 'turned down later') respondText(exchange, '/up')
              else records.push(switched(exchange).consume())
            }
            if (decision === 'switched at once') waiting.decide()
            else waiting.wanted = true
          })
        }
        const before = server.sockets.length
        const client = await RawClient.connect(port)
        client.send(stream.slice(0, cut))
        await eventually(() => server.sockets.length > before)
        await arrived(server, cut)
        client.send(stream.slice(cut))
        await arrived(server, stream.length)
        if (decision !== 'switched at once') {
          await eventually(() => waiting.wanted)
          if (door.requests.length !== 1) failures.push(`${decision}, ${cut}: parsed too early`)
          waiting.decide()
        }
        if (decision === 'turned down later') {
          client.socket.end()
          const bodies = parseResponses(await client.rest()).map(({ body }) => body)
          if (bodies.join() !== '/up,/a') failures.push(`${decision}, ${cut}: ${bodies}`)
        } else {
          client.socket.end()
          await eventually(() => records[0]?.events.includes('end') === true)
          if (records[0].text !== GET) failures.push(`${decision}, ${cut}: ${records[0].text}`)
          if (door.requests.length !== 1) failures.push(`${decision}, ${cut}: ${door.requests}`)
          client.socket.destroy()
        }
        if (door.bodies[0].text !== 'ab\r\nc') failures.push(`${decision}, ${cut}: the content`)
      }
    }
    t.same(failures, [])
  },
)

import t, { type Test } from 'tap'
import { Fields } from '../../http/fields.ts'
import type { RequestView } from '../exchange.ts'
import { ERROR, FRAME } from './frame.ts'
import { block, get, type Line, request } from './test-support/block.ts'
import { type EngineServerOptions, startEngine } from './test-support/engine-server.ts'
import { data, headers, RawClient, settings } from './test-support/raw-client.ts'
import { readyAnswer, respondText, ScriptedDoor } from './test-support/scripted-door.ts'

async function start(t: Test, options: EngineServerOptions = {}) {
  const door = new ScriptedDoor()
  const server = await startEngine(door, options)
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port)
  t.teardown(() => client.destroy())
  return { door, client }
}

const M: Line = [':method', 'GET']
const S: Line = [':scheme', 'http']
const P: Line = [':path', '/']
const A: Line = [':authority', 'a.test']

const malformed: [name: string, lines: Line[]][] = [
  ['no :method', [S, P, A]],
  ['no :scheme', [M, P, A]],
  ['no :path', [M, S, A]],
  ['neither :authority nor Host', [M, S, P]],
  ['two :method', [M, M, S, P, A]],
  ['two :scheme', [M, S, S, P, A]],
  ['two :path', [M, S, P, P, A]],
  ['two :authority', [M, S, P, A, A]],
  ['an unknown pseudo-field', [M, S, P, A, [':x', 'y']]],
  [':status in a request', [M, S, P, A, [':status', '200']]],
  ['a pseudo-field after a regular field', [M, S, P, ['x', 'y'], A]],
  ['a method that is no token', [[':method', 'GE T'], S, P, A]],
  ['an empty method', [[':method', ''], S, P, A]],
  ['a scheme of another protocol', [M, [':scheme', 'ftp'], P, A]],
  ['an empty :path', [M, S, [':path', ''], A]],
  ['a :path that begins with no slash', [M, S, [':path', 'x'], A]],
  ['an absolute :path', [M, S, [':path', 'http://b.test/'], A]],
  ["'*' for GET", [M, S, [':path', '*'], A]],
  ['a fragment', [M, S, [':path', '/a#b'], A]],
  ['a space in :path', [M, S, [':path', '/a b'], A]],
  ['CRLF in :path', [M, S, [':path', '/a HTTP/1.1\r\nx: y'], A]],
  ['a NUL in :path', [M, S, [':path', '/\0'], A]],
  ['user information in :authority', [M, S, P, [':authority', 'u@a.test']]],
  ['a path in :authority', [M, S, P, [':authority', 'a.test/x']]],
  ['an empty :authority', [M, S, P, [':authority', '']]],
  ['Host that differs from :authority', [M, S, P, A, ['host', 'b.test']]],
  ['two Host lines', [M, S, P, ['host', 'a.test'], ['host', 'a.test']]],
  ['an upper-case name', [M, S, P, A, ['X-a', 'y']]],
  ['an empty name', [M, S, P, A, ['', 'y']]],
  ['a space in a name', [M, S, P, A, ['x a', 'y']]],
  ['a colon in a name', [M, S, P, A, ['x:a', 'y']]],
  ['CRLF in a name', [M, S, P, A, ['x\r\ny', 'z']]],
  ['CR in a value', [M, S, P, A, ['x', 'a\rb']]],
  ['LF in a value', [M, S, P, A, ['x', 'a\nb']]],
  ['NUL in a value', [M, S, P, A, ['x', 'a\0b']]],
  ['a space before a value', [M, S, P, A, ['x', ' a']]],
  ['a tab behind a value', [M, S, P, A, ['x', 'a\t']]],
  ['Connection', [M, S, P, A, ['connection', 'close']]],
  ['Keep-Alive', [M, S, P, A, ['keep-alive', '1']]],
  ['Proxy-Connection', [M, S, P, A, ['proxy-connection', 'close']]],
  ['Transfer-Encoding', [M, S, P, A, ['transfer-encoding', 'chunked']]],
  ['Upgrade', [M, S, P, A, ['upgrade', 'h2c']]],
  ['TE other than trailers', [M, S, P, A, ['te', 'trailers, gzip']]],
  ['Content-Length that is no number', [M, S, P, A, ['content-length', '+1']]],
  ['Content-Length twice', [M, S, P, A, ['content-length', '0'], ['content-length', '0']]],
  ['Content-Length without content', [M, S, P, A, ['content-length', '1']]],
  [
    ':protocol while it is not offered',
    [[':method', 'CONNECT'], [':protocol', 'websocket'], S, P, A],
  ],
  [':protocol without CONNECT', [M, [':protocol', 'websocket'], S, P, A]],
  ['CONNECT with a path', [[':method', 'CONNECT'], P, A]],
]

for (const [name, lines] of malformed) {
  t.test(`${name}: the stream is reset and nobody sees it (RFC 9113 §8.1.1)`, async (t) => {
    const { door, client } = await start(t)
    client.send(headers(1, block(lines)), headers(3, get('/next')))
    t.equal(await client.reset(1), ERROR.protocol)
    t.equal((await client.response(3)).status, 200, 'the next request is answered')
    t.strictSame(
      door.seen.map(({ exchange }) => exchange.request.target),
      ['/next'],
    )
    t.equal(door.refusals[0].status, 400)
  })
}

t.test('well-formed requests arrive in canonical form (§8.3)', async (t) => {
  const { door, client } = await start(t)
  const cases: [Line[], expected: object][] = [
    [
      [M, S, [':path', '/a/../%7eb?x=%2f'], [':authority', 'A.TEST:80']],
      { authority: 'a.test', target: '/~b?x=%2f' },
    ],
    [[M, S, P, ['host', 'h.test:8080']], { authority: 'h.test:8080', target: '/' }],
    [[M, S, P, A, ['host', 'A.test:80']], { authority: 'a.test' }],
    [[M, [':scheme', 'https'], P, A], { scheme: 'http' }],
    [[[':method', 'OPTIONS'], S, [':path', '*'], A], { method: 'OPTIONS', target: '*' }],
    [[[':method', 'get'], S, P, A], { method: 'get' }],
    [
      [M, S, P, A, ['te', 'trailers'], ['x', '']],
      { fields: { list: ['te', 'trailers', 'x', ''] } },
    ],
    [
      [M, S, P, A, ['cookie', 'a=1'], ['x', 'y'], ['cookie', 'b=2'], ['cookie', 'c=3']],
      { fields: { list: ['cookie', 'a=1; b=2; c=3', 'x', 'y'] } },
    ],
  ]
  for (const [i, [lines, expected]] of cases.entries()) {
    client.send(headers(2 * i + 1, block(lines)))
    const { exchange } = await door.exchange(i)
    t.match(exchange.request, { ...expected, httpVersion: '2' })
  }
})

t.test('the view shows what a look-up needs, and the whole section on demand', async (t) => {
  const { door, client } = await start(t)
  const views: Partial<RequestView>[] = []
  door.onLookUp = ({
    method,
    target,
    acceptEncoding,
    ifNoneMatch,
    ifModifiedSince,
    unusual,
    fields,
  }) => {
    views.push({ method, target, acceptEncoding, ifNoneMatch, ifModifiedSince, unusual, fields })
  }
  door.ready.set('/x', readyAnswer(Buffer.from('content')))
  client.send(
    headers(
      1,
      get('/x', ['accept-encoding', 'gzip'], ['if-none-match', '"a"'], ['accept-encoding', 'br']),
    ),
    headers(3, request('HEAD', '/x', ['range', 'bytes=0-1'], ['if-modified-since', 'z'])),
    headers(5, request('POST', '/x')),
  )
  t.equal((await client.response(1)).body.toString(), 'content')
  const head = await client.response(3)
  t.equal(head.body.length, 0)
  t.equal(head.head.get('content-length'), '7')
  await client.response(5)
  t.match(views, [
    { method: 'GET', target: '/x', acceptEncoding: 'gzip, br', ifNoneMatch: '"a"', unusual: false },
    { method: 'HEAD', acceptEncoding: undefined, ifModifiedSince: 'z', unusual: true },
  ])
  t.equal(views[0].fields?.get('accept-encoding'), 'gzip, br')
  t.equal(views.length, 2, 'only GET and HEAD are looked up')
})

t.test('a ready answer has Age and Cache-Status', async (t) => {
  const { door, client } = await start(t)
  door.ready.set('/x', readyAnswer(Buffer.alloc(50_000, 'b')))
  client.send(headers(1, get('/x')))
  const response = await client.response(1)
  t.equal(response.body.length, 50_000)
  t.match(response.head.get('age'), /^5$/)
  t.match(response.head.get('cache-status'), /^Larder; hit; ttl=\d+$/)
  t.strictSame(door.answeredTargets, ['/x'])
})

t.test(
  'too many or too large fields get 431, a long target 414, and the connection goes on',
  async (t) => {
    const { door, client } = await start(t, {
      limits: { maxHeaderBytes: 2000, maxHeaderCount: 20, maxTargetBytes: 100 },
    })
    const many = Array.from({ length: 25 }, (_, i): Line => [`x${i}`, 'y'])
    client.send(
      headers(1, get('/', ['x', 'y'.repeat(2000)])),
      headers(3, get('/', ...many)),
      headers(5, get(`/${'a'.repeat(100)}`)),
      headers(7, request('POST', '/', ['x', 'y'.repeat(2000)]), false),
      headers(9, get('/next')),
    )
    t.equal((await client.response(1)).status, 431)
    t.equal((await client.response(3)).status, 431)
    t.equal((await client.response(5)).status, 414)
    t.equal((await client.response(7)).status, 431)
    t.equal(await client.reset(7), ERROR.none)
    t.equal((await client.response(9)).status, 200)
    t.equal(door.seen.length, 1)
  },
)

t.test('a field section of twice the limit ends the connection (§10.5.1)', async (t) => {
  const { client } = await start(t, { limits: { maxHeaderBytes: 2000 } })
  client.send(headers(1, get('/', ['x', 'y'.repeat(5000)])))
  t.equal(await client.goaway(), ERROR.enhanceYourCalm)
})

t.test('a field section that a table unfolds ends the connection (HPACK bomb)', async (t) => {
  const { client } = await start(t)
  const large = Buffer.concat([
    Buffer.of(0x40, 1),
    Buffer.from('x'),
    Buffer.of(0x7f, 0x81, 0x1e),
    Buffer.alloc(3968, 'v'),
  ])
  client.send(headers(1, Buffer.concat([get('/'), large, Buffer.alloc(5000, 0xbe)])))
  t.equal(await client.goaway(), ERROR.enhanceYourCalm)
})

t.test('CONNECT is not offered: 501 (§8.5)', async (t) => {
  const { door, client } = await start(t)
  client.send(headers(1, block([[':method', 'CONNECT'], A]), false))
  t.equal((await client.response(1)).status, 501)
  t.equal(door.seen.length, 0)
})

t.test('extended CONNECT is an exchange with :protocol when offered (RFC 8441 §4)', async (t) => {
  const { door, client } = await start(t, { enableConnectProtocol: true })
  const ours = await client.next((f) => f.type === FRAME.settings && f.payload.length > 0)
  t.ok(ours.payload.includes(Buffer.of(0, 8, 0, 0, 0, 1)))
  door.onExchange = (exchange) => {
    t.equal(exchange.body, null)
    const connection = exchange.switchProtocols('websocket', new Fields())
    if (typeof connection === 'string') throw new Error(connection)
    connection.consume({
      onChunk: (chunk) => connection.write(chunk),
      onEnd: () => connection.end(),
    })
  }
  client.send(
    headers(1, block([[':method', 'CONNECT'], [':protocol', 'websocket'], S, P, A]), false),
  )
  const { exchange } = await door.exchange(0)
  t.equal(exchange.request.method, 'CONNECT')
  t.equal(exchange.request.fields.get(':protocol'), 'websocket')
  client.send(data(1, 'ping'), data(1, 'pong', true))
  t.equal((await client.response(1)).body.toString(), 'pingpong')
})

t.test('content of another length than Content-Length is refused (§8.1.1)', async (t) => {
  const { door, client } = await start(t)
  const ends: string[] = []
  door.onExchange = (exchange) => {
    exchange.body?.consume({
      onChunk() {},
      onEnd: () => ends.push('end'),
      onAbort: () => ends.push('abort'),
    })
  }
  const five = request('POST', '/', ['content-length', '5'])
  client.send(headers(1, five, false), data(1, '1234'), data(1, '', true))
  t.equal(await client.reset(1), ERROR.protocol)
  client.send(headers(3, five, false), data(3, '123456'))
  t.equal(await client.reset(3), ERROR.protocol)
  client.send(headers(5, five, false), data(5, '123'), headers(5, block([['x', 'y']])))
  t.equal(await client.reset(5), ERROR.protocol)
  await client.roundTrip()
  t.strictSame(ends, ['abort', 'abort', 'abort'], 'no body was taken for whole')
})

t.test(
  'a client that allows no dynamic table hears that ours is empty (RFC 7541 §4.2)',
  async (t) => {
    const { door, client } = await start(t)
    door.onExchange = (exchange) => respondText(exchange, 200, 'ok')
    client.send(settings([1, 0]), headers(1, get('/')), headers(3, get('/')))
    await client.response(3)
    const blocks = client.frames.filter(client.ofType(FRAME.headers))
    t.equal(blocks[0].payload[0], 0x20)
    t.not(blocks[1].payload[0], 0x20)
  },
)

import t from 'tap'
import { exchangeRaw, parseResponses, RawClient } from './support/raw-client.ts'
import { startServer } from './support/server-under-test.ts'

/** What must never be served: it stands where a lenient reader would see a second request. */
const SECOND = 'GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n'
const BODY = `0\r\n\r\n${SECOND}`

const post = (fields: string, body = BODY, version = '1.1') =>
  `POST / HTTP/${version}\r\nHost: a.test\r\n${fields}\r\n${body}`
const get = (fields: string) => `GET / HTTP/1.1\r\n${fields}\r\n${SECOND}`
const line = (text: string) => `${text}\r\nHost: a.test\r\n\r\n${SECOND}`

const TRANSFER_ENCODINGS = [
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: \x0bchunked',
  'Transfer-Encoding: chunked\x0b',
  'Transfer-Encoding: \x0cchunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: gzip',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: chunked,',
  'Transfer-Encoding: ,chunked',
  'Transfer-Encoding: "chunked"',
  "Transfer-Encoding: 'chunked'",
  'Transfer-Encoding: chunked;q=1',
  'Transfer-Encoding: chunked; a=b',
  'Transfer-Encoding: chunk',
  'Transfer-Encoding: chunkedd',
  'Transfer-Encoding: chu nked',
  'Transfer-Encoding: c\xc5\xbfunked',
  'Transfer-Encoding: chun\xe2\x84\xaaed',
  'Transfer-Encoding: chunked\x00',
  'Transfer-Encoding: \xa0chunked',
  'Transfer-Encoding: \xffchunked',
  'Transfer-Encoding:',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding\t: chunked',
  ' Transfer-Encoding: chunked',
  'X: y\r\n Transfer-Encoding: chunked',
  'Transfer-Encoding:\r\n chunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
  'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding:',
  'X: y\nTransfer-Encoding: chunked',
  'X: y\rTransfer-Encoding: chunked',
  'Transfer-Encoding\x00: chunked',
  'Transfer_Encoding: x\r\nTransfer-Encoding:\x01chunked',
]

// biome-ignore format: a list of spellings
const CONTENT_LENGTHS = [
  '+5', '-5', '-0', '0x5', '5x', '5;', '5.0', '5e0', '1_0', '5,5', '5, 5', '5,6', ',5', '5,', '', '""', '"5"',
  '5 5', '5\t5', '\x0b5', '5\x0b', '\x0c5', '5\x00', '\x005', '\xa05', '5\xa0', '\xef\xbc\x95', '99999999999999999999',
  '18446744073709551621', '4294967301\x01', '9007199254740993', '0000000000000000000005', '\xe0\xa5\xab', 'five', '5\x7f', '5\r\n 0',
]

type Vector = readonly [name: string, octets: string]

/** Each vector on a server of its own: one answer of that status, the connection closed, and nothing served. */
function refused(promise: string, status: number, vectors: readonly Vector[]): void {
  t.test(promise, async (t) => {
    for (const [name, octets] of vectors) {
      const { port, door } = await startServer(t)
      const answers = parseResponses(await exchangeRaw(port, octets))
      const seen = {
        status: answers.map((answer) => answer.status),
        connection: answers[0]?.fields.get('connection'),
        requests: [...door.requests, ...door.lookUps],
        refusals: door.refusals,
      }
      const expected = { status: [status], connection: 'close', requests: [], refusals: [status] }
      t.same(seen, expected, JSON.stringify(name))
    }
  })
}

const named = (names: readonly string[], octets: (name: string) => string): Vector[] =>
  names.map((name) => [name, octets(name)])

refused(
  'every Transfer-Encoding but `chunked`, once, is refused (RFC 9112 §6.1)',
  400,
  named(TRANSFER_ENCODINGS, (field) => post(`${field}\r\n`)),
)
refused(
  'Transfer-Encoding beside Content-Length is refused, in either order (RFC 9112 §6.1)',
  400,
  named(['Transfer-Encoding: chunked', ...TRANSFER_ENCODINGS], (field) =>
    post(`Content-Length: 5\r\n${field}\r\n`),
  ).concat(
    named(['Transfer-Encoding: chunked', ...TRANSFER_ENCODINGS], (field) =>
      post(`${field}\r\nContent-Length: 5\r\n`),
    ),
  ),
)
refused('Transfer-Encoding in HTTP/1.0 is refused (RFC 9112 §6.1)', 400, [
  ['chunked', post('Transfer-Encoding: chunked\r\n', BODY, '1.0')],
  [
    'chunked, kept alive',
    post('Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n', BODY, '1.0'),
  ],
])
refused(
  'a Content-Length that is not one decimal number is refused (RFC 9112 §6.3)',
  400,
  named(CONTENT_LENGTHS, (value) => post(`Content-Length: ${value}\r\n`)).concat([
    ['two that agree', post('Content-Length: 5\r\nContent-Length: 5\r\n')],
    ['two that differ', post('Content-Length: 5\r\nContent-Length: 6\r\n')],
    ['space before colon', post('Content-Length : 5\r\n')],
    ['underscore beside', post('Content_Length: 9\r\nContent-Length\t: 5\r\n')],
  ]),
)
refused(
  'a field line that is not `name: value CRLF` is refused (RFC 9112 §5, RFC 9110 §5.5)',
  400,
  named(
    // biome-ignore format: a list of spellings
    [
      'X : y', 'X\t: y', 'X\x00: y', 'X\x0b: y', ': y', 'X', 'X y: z', 'X(: y', 'X@: y', 'X[: y', 'X"q": y', 'X\xe9: y',
      'X\x7f: y', 'X: a\x00b', 'X: a\x01b', 'X: a\x0bb', 'X: a\x7fb', 'X: a\rb', 'X: a\nb', 'X: a\r', 'X: a\n\tb',
      'X: a\r\n b', 'X: a\r\n\tb', ' X: a', '\tX: a', '\rX: a', '\nX: a',
    ],
    (field) => get(`Host: a.test\r\n${field}\r\n`),
  ).concat([
    ['space on the first line', get(' X: y\r\nHost: a.test\r\n')],
    ['LF line ends', 'GET / HTTP/1.1\nHost: a.test\n\n'],
    ['LF after fields', `GET / HTTP/1.1\r\nHost: a.test\r\n\n${SECOND}`],
    ['LF after one field', `GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n${SECOND}`],
    ['CR after fields', `GET / HTTP/1.1\r\nHost: a.test\r\n\rX${SECOND}`],
  ]),
)
refused(
  'Host is there once and is a host with an optional port (RFC 9112 §3.2)',
  400,
  named(
    // biome-ignore format: a list of spellings
    [
      '', 'Host:', 'Host: ', 'Host: a b', 'Host: a.test, b.test', 'Host: a.test\r\nHost: a.test',
      'Host: a.test\r\nhost: b.test', 'Host: a.test/path', 'Host: http://a.test', 'Host: user@a.test',
      'Host: a.test:x', 'Host: a.test:99999', 'Host: a.test:-1', 'Host: a.test:80:80',
      'Host: a.test:0', 'Host: a.test\x00', 'Host: a\\b', 'Host: a%2fb', 'Host: [::1', 'Host: ::1', 'Host: a.test?x',
      'Host: a.test#x', 'Host: .', 'Host: a..b', 'Host: \xff',
    ],
    (field) => get(field === '' ? '' : `${field}\r\n`),
  ),
)
refused(
  'a request line is method, target and version with one space between (RFC 9112 §3)',
  400,
  named(
    // biome-ignore format: a list of spellings
    [
      'GET', 'GET /', 'GET  / HTTP/1.1', 'GET /  HTTP/1.1', 'GET / HTTP/1.1 ', ' GET / HTTP/1.1', 'GET\t/ HTTP/1.1',
      'GET /\tHTTP/1.1', 'GET / http/1.1', 'GET / HTTP/1.', 'GET / HTTP/11', 'GET / HTTP /1.1', 'GET / HTTP/1,1',
      'GET / HTTP/1.1x', 'GET / HTTP/0.9', 'GET / HTCPCP/1.1', 'GET /a b HTTP/1.1', 'GET /\x00 HTTP/1.1',
      'GET /\x0b HTTP/1.1', 'GET /\xe9 HTTP/1.1', 'GET /a#b HTTP/1.1', 'GET a HTTP/1.1', 'GET * HTTP/1.1',
      'GET a.test:80 HTTP/1.1', 'GET ftp://a.test/ HTTP/1.1', 'GET http:///x HTTP/1.1', 'GET http://u@a.test/ HTTP/1.1',
      'GET http://a.test:x/ HTTP/1.1', 'GET /%zz HTTP/1.1', 'GET /%00 HTTP/1.1', 'GET /%2 HTTP/1.1', 'GET /\\ HTTP/1.1',
      'G@T / HTTP/1.1', 'G\x00T / HTTP/1.1', 'G(T) / HTTP/1.1', 'PRI * HTTP/2.0', '\x16\x03\x01\x02\x00\x01', ' ',
      '\r\rGET / HTTP/1.1', '\nGET / HTTP/1.1', '\r\n\r\n\r\nGET / HTTP/1.1',
    ],
    line,
  ),
)
refused('an HTTP version above 1.1 is answered with 505 (RFC 9110 §15.6.6)', 505, [
  ['2.0', line('GET / HTTP/2.0')],
  ['1.2', line('GET / HTTP/1.2')],
  ['3.0', line('GET / HTTP/3.0')],
])
refused('CONNECT is answered with 405', 405, [
  ['host', line('CONNECT a.test:443 HTTP/1.1')],
  ['path', line('CONNECT / HTTP/1.1')],
])
refused('a target beyond the limit is answered with 414', 414, [
  ['whole', line(`GET /${'a'.repeat(9000)} HTTP/1.1`)],
  ['endless', `GET /${'a'.repeat(40_000)}`],
])
refused('more fields than the limit are answered with 431 (RFC 6585 §5)', 431, [
  ['many', get(`Host: a.test\r\n${'X: y\r\n'.repeat(128)}`)],
  ['one large', get(`Host: a.test\r\nX: ${'y'.repeat(40_000)}\r\n`)],
  ['endless name', `GET / HTTP/1.1\r\nHost: a.test\r\n${'X'.repeat(40_000)}`],
  ['endless value', `GET / HTTP/1.1\r\nHost: a.test\r\nX: ${'y'.repeat(40_000)}`],
  ['many large', get(`Host: a.test\r\n${`X: ${'y'.repeat(1000)}\r\n`.repeat(40)}`)],
])
refused('a method beyond all known is answered with 501 (RFC 9112 §3)', 501, [
  ['long', line(`${'A'.repeat(65)} / HTTP/1.1`)],
])

t.test('the authority of an absolute target counts, not Host (RFC 9112 §3.2.2)', async (t) => {
  const { port, door } = await startServer(t)
  await exchangeRaw(
    port,
    'GET http://B.test:80?q HTTP/1.1\r\nHost: a.test\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n',
  )
  t.same(
    door.exchanges.map(({ request }) => [request.authority, request.target, request.scheme]),
    [
      ['b.test', '/?q', 'http'],
      ['a.test', '*', 'http'],
    ],
  )
})

t.test('a head is read alike however it is cut into packets', async (t) => {
  const { port, door } = await startServer(t)
  const request = `\r\nPOST /x HTTP/1.1\r\nHost: a.test\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n`
  const client = await RawClient.connect(port)
  for (let i = 0; i < request.length; i++) {
    const before = client.received.length
    client.send(request.slice(0, i))
    await new Promise(setImmediate)
    client.send(request.slice(i))
    await client.until(() => client.received.length > before && client.received.endsWith('abc'))
  }
  t.equal(parseResponses(client.received).length, request.length)
  t.same(door.refusals, [])
  t.ok(door.bodies.every((body) => body.ended && body.trailers?.[0][1] === 'u'))
  client.socket.destroy()
})

// biome-ignore format: a list of spellings
const BROKEN_CHUNKS = [
  'x\r\nabc\r\n0\r\n\r\n', '\r\nabc\r\n0\r\n\r\n', '0x3\r\nabc\r\n0\r\n\r\n', '+3\r\nabc\r\n0\r\n\r\n', '-3\r\nabc\r\n0\r\n\r\n',
  '3_\r\nabc\r\n0\r\n\r\n', '0_3\r\nabc\r\n0\r\n\r\n', ' 3\r\nabc\r\n0\r\n\r\n', '3 \r\nabc\r\n0\r\n\r\n', '3\t\r\nabc\r\n0\r\n\r\n',
  '3 3\r\nabc\r\n0\r\n\r\n', '3,3\r\nabc\r\n0\r\n\r\n', '3\nabc\r\n0\r\n\r\n', '3\rabc\r\n0\r\n\r\n', '3\r\rabc\r\n0\r\n\r\n',
  '3\r\nabc\n0\r\n\r\n', '3\r\nabc\r0\r\n\r\n', '3\r\nabc0\r\n\r\n', '3\r\nabcd\r\n0\r\n\r\n', '3\r\nabc\r\n\r\n0\r\n\r\n',
  '3;\r\nabc\r\n0\r\n\r\n', '3;a\nb\r\nabc\r\n0\r\n\r\n', '3;a\rb\r\nabc\r\n0\r\n\r\n', '3;a=\r\nabc\r\n0\r\n\r\n', '3;=b\r\nabc\r\n0\r\n\r\n',
  '3;a="b\r\nabc\r\n0\r\n\r\n', '3;a="b\n"\r\nabc\r\n0\r\n\r\n', '3;a="b"c\r\nabc\r\n0\r\n\r\n', '3;a\x00\r\nabc\r\n0\r\n\r\n', '3;;a\r\nabc\r\n0\r\n\r\n',
  '10000000000000000\r\n', 'fffffffffffffffff\r\n', 'ffffffffffffffff\r\n', '20000000000000\r\n', '00000000000000003\r\nabc\r\n0\r\n\r\n',
  `3;a=${'b'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`, `${'1;a=bbbbbbbbbbbbbb\r\nx\r\n'.repeat(1200)}0\r\n\r\n`,
  '3\r\nabc\r\n0\n\r\n', '3\r\nabc\r\n0\r\nX\r\n\r\n', '3\r\nabc\r\n0\r\nX : y\r\n\r\n', '3\r\nabc\r\n0\r\nX: y\n\r\n', '3\r\nabc\r\n0\r\n X: y\r\n\r\n',
  '3\r\nabc\r\n0\r\nX: a\x00b\r\n\r\n', '3\r\nabc\r\n0\r\n\n', `3\r\nabc\r\n0\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`,
  `3\r\nabc\r\n0\r\n${'X: y\r\n'.repeat(200)}\r\n`,
]

t.test(
  'a broken chunk aborts the body, is answered with 400 and ends all (RFC 9112 §7.1)',
  async (t) => {
    for (const chunks of BROKEN_CHUNKS) {
      const { port, door } = await startServer(t)
      const text = await exchangeRaw(port, post('Transfer-Encoding: chunked\r\n', chunks + SECOND))
      const statuses = parseResponses(text).map((answer) => answer.status)
      const [body] = door.bodies
      const seen = [statuses, body.ended, body.aborted, door.requests, door.ends.length]
      t.same(seen, [[400], false, true, ['POST /'], 1], JSON.stringify(chunks.slice(0, 60)))
    }
  },
)

t.test('whole chunks of every allowed spelling are taken (RFC 9112 §7.1.1)', async (t) => {
  // biome-ignore format: a list of spellings
  const allowed = ['3', '03', '0000000000000003', '3;a', '3;a=b', '3;a="b;\\"c"', '3;a;b=c', '3 ;a', '3; a = b', '3;a="\xe9"']
  for (const size of allowed) {
    const { port, door } = await startServer(t)
    const chunks = `${size}\r\nabc\r\nA\r\n0123456789\r\n000;x=y\r\n\r\n`
    const text = await exchangeRaw(
      port,
      post('Transfer-Encoding: chunked\r\n', chunks) +
        SECOND.replace('\r\n', '\r\nConnection: close\r\n'),
    )
    t.equal(parseResponses(text)[0].body, 'abc0123456789', size)
    t.same(door.requests, ['POST /', 'GET /second'], size)
  }
})

t.test('a body that ends early is aborted, never completed', async (t) => {
  const cut = [
    'Content-Length: 10\r\n\r\nabc',
    'Transfer-Encoding: chunked\r\n\r\n5\r\nab',
    'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n',
  ]
  for (const rest of cut) {
    const { port, door } = await startServer(t)
    const client = await RawClient.connect(port)
    client.send(`POST / HTTP/1.1\r\nHost: a.test\r\n${rest}`).socket.end()
    t.equal(parseResponses(await client.rest())[0].status, 400)
    t.same([door.bodies[0].ended, door.bodies[0].aborted], [false, true], rest)
  }
})

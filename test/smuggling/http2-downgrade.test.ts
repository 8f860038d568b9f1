import t, { type Test } from 'tap'
import { FLAG, FRAME } from '../../packages/proxy/src/transport/h2/frame.ts'
import { block, type Line } from '../../packages/proxy/src/transport/h2/test-support/block.ts'
import {
  data,
  frame,
  headers,
  RawClient,
} from '../../packages/proxy/src/transport/h2/test-support/raw-client.ts'
import { startEdge } from '../support/edge.ts'
import { type LiteralOrigin, startLiteralOrigin } from '../support/literal-origin.ts'

interface Setting {
  readonly origin: LiteralOrigin
  connect(): Promise<RawClient>
}

async function setUp(t: Test): Promise<Setting> {
  const origin = await startLiteralOrigin(t)
  const edge = await startEdge(t, 'h2', { tenant: { origins: [{ url: origin.url }] } })
  return {
    origin,
    async connect() {
      const client = await RawClient.connect(edge.ports.https, { tls: true })
      t.teardown(() => client.destroy())
      return client
    },
  }
}

const NEXT = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
const M: Line = [':method', 'GET']
const POST: Line = [':method', 'POST']
const S: Line = [':scheme', 'https']
const P: Line = [':path', '/']
const A: Line = [':authority', 'a.test']

const SPLIT = `a\r\n\r\n${NEXT}`

/** Sections that HTTP/1.1 would read as something else (RFC 9113 §8.1.1, §8.2.1, §8.2.2, §8.3, §10.3). */
const SECTIONS: [what: string, lines: Line[]][] = [
  ['CRLF in a value', [M, S, P, A, ['x', SPLIT]]],
  ['LF in a value', [M, S, P, A, ['x', 'a\nb: c']]],
  ['CR in a value', [M, S, P, A, ['x', 'a\rb: c']]],
  ['NUL in a value', [M, S, P, A, ['x', 'a\0b']]],
  ['CRLF at the end of a value', [M, S, P, A, ['x', 'a\r\n']]],
  ['space ahead of a value', [M, S, P, A, ['x', ' a']]],
  ['space behind a value', [M, S, P, A, ['x', 'a ']]],
  ['a tab ahead of a value', [M, S, P, A, ['x', '\ta']]],
  ['CRLF in a name', [M, S, P, A, ['x: a\r\ny', 'b']]],
  ['LF in a name', [M, S, P, A, ['x\ny', 'b']]],
  ['NUL in a name', [M, S, P, A, ['x\0', 'b']]],
  ['a colon in a name', [M, S, P, A, ['transfer-encoding: chunked\r\nx', 'b']]],
  ['a colon at the end of a name', [M, S, P, A, ['x:', 'b']]],
  ['a space in a name', [M, S, P, A, ['x y', 'b']]],
  ['a space behind a name', [M, S, P, A, ['content-length ', '5']]],
  ['a space ahead of a name', [M, S, P, A, [' x', '5']]],
  ['a tab in a name', [M, S, P, A, ['x\t', '5']]],
  ['an upper-case name', [M, S, P, A, ['Content-Length', '5']]],
  ['a non-ASCII name', [M, S, P, A, ['x\xff', '5']]],
  ['an empty name', [M, S, P, A, ['', '5']]],
  ['CRLF in :method', [[':method', `GET / HTTP/1.1\r\nHost: a\r\n\r\nGET`], S, P, A]],
  ['a space in :method', [[':method', 'GET /smuggled'], S, P, A]],
  ['an empty :method', [[':method', ''], S, P, A]],
  ['CRLF in :path', [M, S, [':path', `/ HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled`], A]],
  ['a space in :path', [M, S, [':path', '/a HTTP/1.1'], A]],
  ['NUL in :path', [M, S, [':path', '/\0'], A]],
  ['a tab in :path', [M, S, [':path', '/a\tb'], A]],
  ['an empty :path', [M, S, [':path', ''], A]],
  ['a :path without slash', [M, S, [':path', 'smuggled'], A]],
  ['an absolute :path', [M, S, [':path', 'https://b.test/smuggled'], A]],
  ['a fragment in :path', [M, S, [':path', '/a#b'], A]],
  ['CRLF in :authority', [M, S, P, [':authority', 'a\r\nx: y']]],
  ['a space in :authority', [M, S, P, [':authority', 'a b']]],
  ['user information in :authority', [M, S, P, [':authority', 'u@a.test']]],
  ['a path in :authority', [M, S, P, [':authority', 'a.test/smuggled']]],
  ['CRLF in :scheme', [M, [':scheme', 'https\r\nx: y'], P, A]],
  ['a request in :scheme', [M, [':scheme', 'http://b.test/smuggled?'], P, A]],
  ['two :path', [M, S, P, [':path', '/smuggled'], A]],
  ['two :method', [M, POST, S, P, A]],
  ['two :scheme', [M, S, [':scheme', 'http'], P, A]],
  ['two :authority', [M, S, P, A, [':authority', 'b.test']]],
  ['Host beside another :authority', [M, S, P, A, ['host', 'b.test']]],
  ['two Hosts', [M, S, P, ['host', 'a.test'], ['host', 'b.test']]],
  ['an unknown pseudo-field', [M, S, P, A, [':smuggled', 'x']]],
  [':status', [M, S, P, A, [':status', '200']]],
  ['a pseudo-field behind a field', [M, S, P, ['x', 'y'], A]],
  ['Connection', [M, S, P, A, ['connection', 'x']]],
  ['Keep-Alive', [M, S, P, A, ['keep-alive', 'timeout=5']]],
  ['Proxy-Connection', [M, S, P, A, ['proxy-connection', 'keep-alive']]],
  ['Transfer-Encoding', [POST, S, P, A, ['transfer-encoding', 'chunked']]],
  ['Upgrade', [M, S, P, A, ['upgrade', 'h2c']]],
  ['TE', [M, S, P, A, ['te', 'gzip']]],
  ['a Content-Length that is no number', [POST, S, P, A, ['content-length', '0x5']]],
  ['an empty Content-Length', [POST, S, P, A, ['content-length', '']]],
  ['a list of Content-Lengths', [POST, S, P, A, ['content-length', '0, 0']]],
  ['two Content-Lengths', [POST, S, P, A, ['content-length', '0'], ['content-length', '0']]],
  ['CONNECT with a path', [[':method', 'CONNECT'], S, P, A]],
  [
    'an extended CONNECT that was not offered',
    [[':method', 'CONNECT'], [':protocol', 'websocket'], S, P, A],
  ],
]

t.test(
  'a section that HTTP/1.1 would read in another way ends its stream, and nothing is forwarded (RFC 9113 §8.1.1, §10.3)',
  async (t) => {
    const setting = await setUp(t)
    for (const [what, lines] of SECTIONS) {
      await forwardsNothing(t, setting, what, headers(1, block(lines)))
    }
  },
)

const post = (...more: Line[]) => headers(1, block([POST, S, P, A, ...more]), false)
const trailers = (...lines: Line[]) => headers(1, block(lines))
const chunksOf = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n${NEXT}`

/** Content that is not what the section says, and trailers that are none (RFC 9113 §8.1, §8.1.1). */
const CONTENTS: [what: string, ...frames: Buffer[]][] = [
  ['less content than Content-Length', post(['content-length', '10']), data(1, 'hello', true)],
  [
    'more content than Content-Length',
    post(['content-length', '5']),
    data(1, `hello${NEXT}`, true),
  ],
  ['content beside Content-Length 0', post(['content-length', '0']), data(1, NEXT, true)],
  [
    'content in two frames beyond Content-Length',
    post(['content-length', '5']),
    data(1, 'hello'),
    data(1, NEXT, true),
  ],
  ['no content beside Content-Length', post(['content-length', '5']), data(1, '', true)],
  ['CRLF in a trailer', post(), data(1, 'hello'), trailers(['x', SPLIT])],
  ['CRLF in the name of a trailer', post(), data(1, 'hello'), trailers(['x\r\ny', 'z'])],
  ['a pseudo-field in the trailers', post(), data(1, 'hello'), trailers([':path', '/smuggled'])],
  [
    'Transfer-Encoding in the trailers',
    post(),
    data(1, 'hello'),
    trailers(['transfer-encoding', 'chunked']),
  ],
  ['Connection in the trailers', post(), data(1, 'hello'), trailers(['connection', 'x'])],
  [
    'a reset in the middle of the content',
    post(),
    data(1, 'hello'),
    frame(FRAME.resetStream, 0, 1, Buffer.of(0, 0, 0, 8)),
  ],
]

t.test(
  'content and trailers that contradict their section never reach the origin as a whole request (RFC 9113 §8.1.1)',
  async (t) => {
    const setting = await setUp(t)
    for (const [what, ...frames] of CONTENTS) await forwardsNothing(t, setting, what, ...frames)
  },
)

async function forwardsNothing(
  t: Test,
  { origin, connect }: Setting,
  what: string,
  ...frames: Buffer[]
): Promise<void> {
  origin.forget()
  const client = await connect()
  client.send(...frames)
  // A clean request behind it shows that everything ahead was handled, on this connection or on a new one.
  const probe = headers(3, block([M, S, [':path', '/probe'], A]))
  client.send(probe)
  const answered = client.response(3).then(
    () => true,
    () => false,
  )
  if (!(await answered)) {
    const another = await connect()
    another.send(probe)
    await another.response(3)
  }
  const { status, body } = client.partOfResponse(1)
  t.ok(status === 0 || (status >= 400 && status < 500), `${what}: refused (${status} ${body})`)
  t.same(
    origin.lines.filter((line) => line !== 'GET /probe HTTP/1.1'),
    [],
    `${what}: nothing whole reaches the origin`,
  )
  t.same(origin.faults, [], `${what}: nothing unclear reaches the origin`)
  client.destroy()
}

t.test(
  'content is framed for the origin, whatever the method (RFC 9113 §8.1, RFC 9112 §6)',
  async (t) => {
    const { origin, connect } = await setUp(t)
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'POST', 'FOO']) {
      for (const content of [NEXT, chunksOf('x')]) {
        for (const length of [[], [['content-length', String(content.length)] as const]]) {
          origin.forget()
          const client = await connect()
          const section = block([[':method', method], S, [':path', '/first'], A, ...length])
          client.send(headers(1, section, false), data(1, content, true))
          const { status } = await client.response(1)
          const what = `${method} ${length.length === 0 ? 'without' : 'with'} length`
          t.equal(status, 200, what)
          t.same(origin.lines, [`${method} /first HTTP/1.1`], what)
          t.same(origin.faults, [], what)
          t.ok(['', content].includes(origin.requests[0].body), what)
          client.destroy()
        }
      }
    }
  },
)

t.test(
  'trailers of a good request are forwarded as trailers, or left out (RFC 9110 §6.5)',
  async (t) => {
    const { origin, connect } = await setUp(t)
    const client = await connect()
    client.send(
      post(),
      data(1, 'hello'),
      trailers(['x-sum', '1'], ['host', 'b.test'], ['content-length', '9']),
    )
    t.equal((await client.response(1)).status, 200)
    t.same(origin.faults, [])
    t.equal(origin.requests[0].body, 'hello')
    t.match(origin.received[0], /\r\n0\r\nx-sum: 1\r\n\r\n$/)
  },
)

t.test(
  'cookie crumbs become one line, and Host follows :authority (RFC 9113 §8.2.3, §8.3.1)',
  async (t) => {
    const { origin, connect } = await setUp(t)
    const client = await connect()
    const lines: Line[] = [M, S, P, A, ['cookie', 'a=b'], ['cookie', 'c=d'], ['host', 'a.test']]
    client.send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, block(lines)))
    t.equal((await client.response(1)).status, 200)
    const { fields } = origin.requests[0]
    t.same(
      fields.filter(([name]) => name === 'cookie' || name === 'host'),
      [
        ['host', 'a.test'],
        ['cookie', 'a=b; c=d'],
      ],
    )
  },
)

import t, { type Test } from 'tap'
import {
  exchangeRaw,
  parseResponses,
} from '../../packages/proxy/src/transport/h1/support/raw-client.ts'
import { startEdge } from '../support/edge.ts'
import { type LiteralOrigin, startLiteralOrigin } from '../support/literal-origin.ts'

interface Setting {
  readonly port: number
  readonly origin: LiteralOrigin
}

async function setUp(t: Test, tenant: object = {}): Promise<Setting> {
  const origin = await startLiteralOrigin(t)
  const edge = await startEdge(t, 'h1', { tenant: { origins: [{ url: origin.url }], ...tenant } })
  return { port: edge.ports.http, origin }
}

/** What would be served next if the first request were taken for shorter than it is. */
const NEXT = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'

/** Sends the octets: they are refused with one answer, and the origin sees no complete request. */
async function refuses(
  t: Test,
  { port, origin }: Setting,
  what: string,
  octets: string,
  statuses: readonly number[] = [400],
): Promise<void> {
  origin.forget()
  const answers = parseResponses(await exchangeRaw(port, octets))
  t.same(
    answers.map(({ status }) => statuses.includes(status)),
    [true],
    `${what}: one answer, and it refuses (${answers.map(({ status }) => status)})`,
  )
  t.same(origin.lines, [], `${what}: nothing whole reaches the origin`)
  t.same(origin.faults, [], `${what}: nothing unclear reaches the origin`)
}

const POST = 'POST / HTTP/1.1\r\nHost: a\r\n'
const CHUNKS = '0\r\n\r\n'

const CODINGS = [
  'chunked',
  'Chunked',
  'CHUNKED',
  '\tchunked',
  'chunked ',
  'chunked\t',
  'xchunked',
  'chunkedx',
  'chunk',
  'cow',
  'identity',
  'gzip',
  '',
  'chunked, identity',
  'identity, chunked',
  'gzip, chunked',
  'chunked, gzip',
  'chunked, chunked',
  ',chunked',
  'chunked,',
  ', chunked',
  '"chunked"',
  "'chunked'",
  'chunked;q=1',
  'chunked; a=b',
  '\x0bchunked',
  'chunked\x0b',
  '\0chunked',
  'chunked\0',
  '\xa0chunked',
  'c hunked',
]

t.test(
  'Content-Length with Transfer-Encoding is refused, in either order (RFC 9112 §6.1)',
  async (t) => {
    const setting = await setUp(t)
    for (const coding of CODINGS) {
      const te = `Transfer-Encoding: ${coding}\r\n`
      const cl = `Content-Length: ${CHUNKS.length + NEXT.length}\r\n`
      const shown = JSON.stringify(coding)
      await refuses(t, setting, `${shown} last`, `${POST}${cl}${te}\r\n${CHUNKS}${NEXT}`)
      await refuses(t, setting, `${shown} first`, `${POST}${te}${cl}\r\n${CHUNKS}${NEXT}`)
    }
  },
)

t.test(
  'a Transfer-Encoding that is not chunked, once, is refused (RFC 9112 §6.1, §6.3)',
  async (t) => {
    const setting = await setUp(t)
    for (const coding of CODINGS) {
      if (/^\s*chunked\s*$/i.test(coding) && !/[\x0b\0\xa0]/.test(coding)) continue
      const te = `Transfer-Encoding: ${coding}\r\n`
      await refuses(t, setting, JSON.stringify(coding), `${POST}${te}\r\n${CHUNKS}${NEXT}`)
    }
    const twice = 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'
    await refuses(t, setting, 'two lines', `${POST}${twice}\r\n${CHUNKS}${NEXT}`)
    const old = POST.replace('HTTP/1.1', 'HTTP/1.0')
    await refuses(
      t,
      setting,
      'HTTP/1.0',
      `${old}Transfer-Encoding: chunked\r\n\r\n${CHUNKS}${NEXT}`,
    )
  },
)

const BAD_LENGTHS = [
  ...['+5', '-5', '0x5', '5.0', '5e0', '5, 5', '5,5', '5,6', '5 5', '5;', '5,', ',5', '', '"5"'],
  ...[
    '99999999999999999999',
    '18446744073709551621',
    '5\0',
    '\x0b5',
    '5\x0b',
    '5\xa0',
    '٥',
    'five',
  ],
  ...['0005x', '5\t5', '5_', '1_0', '5,0', '0,5', '5%', '[5]', '5=5', '0b101', '0o5', 'NaN'],
]

t.test(
  'a Content-Length that is not one decimal number is refused (RFC 9112 §6.3, RFC 9110 §8.6)',
  async (t) => {
    const setting = await setUp(t)
    for (const length of BAD_LENGTHS) {
      const octets = Buffer.from(`Content-Length: ${length}\r\n`).toString('latin1')
      await refuses(t, setting, JSON.stringify(length), `${POST}${octets}\r\nhello${NEXT}`)
    }
    const pairs = [
      ['5', '5'],
      ['5', '0'],
      ['0', '5'],
    ]
    for (const [first, second] of pairs) {
      const lines = `Content-Length: ${first}\r\nContent-Length: ${second}\r\n`
      await refuses(t, setting, `${first} and ${second}`, `${POST}${lines}\r\nhello${NEXT}`)
    }
  },
)

const BAD_HEADS: [what: string, head: string][] = [
  ['space before the colon', `${POST}Content-Length : 5\r\n\r\nhello`],
  ['a tab before the colon', `${POST}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`],
  ['a bare CR in a value', `${POST}A: b\rContent-Length: 5\r\n\r\nhello`],
  ['a bare CR as line end', `${POST}A: b\r\rContent-Length: 5\r\n\r\nhello`],
  ['a bare LF as line end', `${POST}A: b\nContent-Length: 5\r\n\r\nhello`],
  ['bare LFs at the end', 'POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello'],
  ['NUL in a value', `${POST}A: b\0\r\n\r\n`],
  ['NUL in a name', `${POST}A\0: b\r\n\r\n`],
  ['a folded line', `${POST}A: b\r\n Content-Length: 5\r\n\r\nhello`],
  ['a folded framing field', `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
  ['white space ahead of the first field', 'POST / HTTP/1.1\r\n Host: a\r\n\r\n'],
  ['a line without colon', `${POST}Content-Length\r\n\r\n`],
  ['an empty name', `${POST}: 5\r\n\r\n`],
  ['a name that is no token', `${POST}Content Length: 5\r\n\r\nhello`],
  ['a name with a bracket', `${POST}[a]: 5\r\n\r\n`],
  ['two spaces in the request line', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a request line with four parts', 'GET / x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['a lower-case version', 'GET / http/1.1\r\nHost: a\r\n\r\n'],
  ['version 1.10', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n'],
  ['NUL in the target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a non-ASCII target', 'GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a fragment', 'GET /#a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a backslash', 'GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a target without slash', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['two equal Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'],
  ...[
    'a b',
    'a/b',
    'a?b',
    'a#b',
    'a@b',
    'a:b@c',
    'a:x',
    'a:99999',
    'a:-1',
    'a:80:80',
    'a,b',
    'a\0',
  ].map((host): [string, string] => [
    `Host ${JSON.stringify(host)}`,
    `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  ]),
  ...['', 'a..b', '[::1', '[x]', 'a%00', 'a\\b'].map((host): [string, string] => [
    `Host ${JSON.stringify(host)}`,
    `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  ]),
]

t.test(
  'lines that two readers could take in two ways are refused (RFC 9112 §2.2, §3, §5)',
  async (t) => {
    const setting = await setUp(t)
    for (const [what, head] of BAD_HEADS) {
      await refuses(t, setting, what, head + NEXT, [400, 505])
    }
  },
)

const BAD_CHUNKS = [
  '0x5\r\nhello\r\n0\r\n\r\n',
  '+5\r\nhello\r\n0\r\n\r\n',
  '-5\r\nhello\r\n0\r\n\r\n',
  '1_0\r\nhello\r\n0\r\n\r\n',
  ' 5\r\nhello\r\n0\r\n\r\n',
  '5 5\r\nhello\r\n0\r\n\r\n',
  '5,5\r\nhello\r\n0\r\n\r\n',
  '5.0\r\nhello\r\n0\r\n\r\n',
  'g\r\nhello\r\n0\r\n\r\n',
  '\r\nhello\r\n0\r\n\r\n',
  '\n5\r\nhello\r\n0\r\n\r\n',
  '5\nhello\r\n0\r\n\r\n',
  '5\rhello\r\n0\r\n\r\n',
  '5\r\nhello\n0\r\n\r\n',
  '5\r\nhello\r0\r\n\r\n',
  '5\r\nhello0\r\n\r\n',
  '5\r\nhellox\r\n0\r\n\r\n',
  '4\r\nhello\r\n0\r\n\r\n',
  'fffffffffffffffff\r\nhello\r\n0\r\n\r\n',
  '100000000000000005\r\nhello\r\n0\r\n\r\n',
  '00000000000000000005\r\nhello\r\n0\r\n\r\n',
  '5;a\nb\r\nhello\r\n0\r\n\r\n',
  '5;a=b\rc\r\nhello\r\n0\r\n\r\n',
  '5;\0\r\nhello\r\n0\r\n\r\n',
  '5;a="b\r\n"\r\nhello\r\n0\r\n\r\n',
  '5;a=b c\r\nhello\r\n0\r\n\r\n',
  '5;;a\r\nhello\r\n0\r\n\r\n',
  `5;${'a'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
  '5\r\nhello\r\n0\n\r\n',
  '5\r\nhello\r\n0\r\n\n',
  '5\r\nhello\r\n0\r\nA : b\r\n\r\n',
  '5\r\nhello\r\n0\r\nA: b\n\r\n',
  '5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n',
  '5\r\nhello\r\n0\r\nA: \0\r\n\r\n',
  '5\r\nhello\r\n0\r\nabc\r\n\r\n',
  '5\r\nhello\r\n0;\0\r\n\r\n',
]

t.test(
  'broken chunks end the request, and the origin never sees it whole (RFC 9112 §7.1)',
  async (t) => {
    const setting = await setUp(t)
    for (const chunks of BAD_CHUNKS) {
      for (const method of ['POST', 'GET']) {
        const head = `${method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`
        const what = `${method} ${JSON.stringify(chunks.slice(0, 40))}`
        await refuses(t, setting, what, head + chunks + NEXT)
      }
    }
  },
)

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'POST', 'PUT', 'PATCH', 'FOO']

t.test('a body is a body, whatever the method (RFC 9110 §9.3.1, RFC 9112 §6)', async (t) => {
  const { port, origin } = await setUp(t)
  const body = NEXT
  const framings: [string, string][] = [
    [`Content-Length: ${body.length}\r\n`, body],
    ['Transfer-Encoding: chunked\r\n', `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
  ]
  for (const method of METHODS) {
    for (const [framing, framed] of framings) {
      origin.forget()
      const head = `${method} /first HTTP/1.1\r\nHost: a\r\n${framing}\r\n`
      const last = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
      const answers = parseResponses(await exchangeRaw(port, head + framed + last), [method])
      const what = `${method} ${framing.trim()}`
      t.same(
        answers.map(({ status }) => status),
        [200, 200],
        what,
      )
      t.same(origin.lines, [`${method} /first HTTP/1.1`, 'GET /last HTTP/1.1'], what)
      t.same(origin.faults, [], what)
      t.ok(['', body].includes(origin.requests[0]?.body), `${what}: forwarded whole or left out`)
    }
  }
})

t.test('requests without a body stay so (RFC 9112 §6.3)', async (t) => {
  const { port, origin } = await setUp(t)
  const cases = [
    'GET /a HTTP/1.1|Host: a',
    'GET /b HTTP/1.1|Host: a|Content-Length: 0',
    'POST /c HTTP/1.1|Host: a',
  ]
  const chunked = 'POST /d HTTP/1.1|Host: a|Transfer-Encoding: chunked'
  const octets = cases.map((text) => `${text.replaceAll('|', '\r\n')}\r\n\r\n`).join('')
  const last = `${chunked.replaceAll('|', '\r\n')}\r\nConnection: close\r\n\r\n0\r\n\r\n`
  const answers = parseResponses(await exchangeRaw(port, octets + last))
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 200, 200],
  )
  t.same(
    origin.requests.map(({ line, body }) => [line.split(' ')[1], body]),
    [
      ['/a', ''],
      ['/b', ''],
      ['/c', ''],
      ['/d', ''],
    ],
  )
  t.same(origin.faults, [])
})

t.test(
  'Expect is met here and not passed on; another expectation is 417 (RFC 9110 §10.1.1)',
  async (t) => {
    const setting = await setUp(t)
    const { port, origin } = setting
    for (const expect of ['100-continue', '100-Continue', '100-CONTINUE']) {
      origin.forget()
      const head = `POST /e HTTP/1.1\r\nHost: a\r\nExpect: ${expect}\r\nContent-Length: 5\r\n`
      const octets = `${head}Connection: close\r\n\r\nhello`
      const answers = parseResponses(await exchangeRaw(port, octets))
      t.equal(answers.at(-1)?.status, 200, expect)
      t.equal(origin.requests[0]?.body, 'hello', expect)
      t.notOk(
        origin.requests[0]?.fields.some(([name]) => name === 'expect'),
        expect,
      )
    }
    for (const expect of ['y 100-continue', '100-continue, x', '200-ok', '100-continu']) {
      const head = `POST /e HTTP/1.1\r\nHost: a\r\nExpect: ${expect}\r\nContent-Length: ${NEXT.length}\r\n\r\n`
      await refuses(t, setting, expect, head + NEXT, [417])
    }
  },
)

t.test(
  'the authority of an absolute target counts, and becomes Host (RFC 9112 §3.2.2)',
  async (t) => {
    const { port, origin } = await setUp(t, { hosts: ['one.test', 'two.test'] })
    const octets = 'GET http://one.test/a?b HTTP/1.1\r\nHost: two.test\r\nConnection: close\r\n\r\n'
    const [answer] = parseResponses(await exchangeRaw(port, octets))
    t.equal(answer.status, 200)
    t.equal(origin.requests[0].line, 'GET /a?b HTTP/1.1')
    t.same(
      origin.requests[0].fields.filter(([name]) => name === 'host'),
      [['host', 'one.test']],
    )
  },
)

t.test(
  'fields of the connection are removed, Upgrade among them (RFC 9110 §7.6.1, §7.8)',
  async (t) => {
    const { port, origin } = await setUp(t)
    const lines = [
      'GET /a HTTP/1.1',
      'Host: a',
      'Connection: X-Secret, close, Upgrade, HTTP2-Settings, Host, Content-Length',
      'X-Secret: 1',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAAP__',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: keep-alive',
      'Proxy-Authorization: Basic eDp5',
      'TE: trailers, gzip',
      'Trailer: X-A',
      'X-Kept: 1',
    ]
    const [answer] = parseResponses(await exchangeRaw(port, `${lines.join('\r\n')}\r\n\r\n`))
    t.equal(answer.status, 200)
    const names = origin.requests[0].fields.map(([name]) => name)
    for (const name of [
      'connection',
      'x-secret',
      'upgrade',
      'http2-settings',
      'keep-alive',
      'proxy-connection',
      'proxy-authorization',
      'te',
      'trailer',
    ]) {
      t.notOk(names.includes(name), name)
    }
    t.ok(names.includes('x-kept'))
    t.ok(names.includes('host'), 'Host cannot be named away')
  },
)

t.test(
  'an offer to leave HTTP is not taken, and what follows it is HTTP (RFC 9110 §7.8)',
  async (t) => {
    for (const protocol of ['h2c', 'websocket', 'h2c, websocket']) {
      const { port, origin } = await setUp(t)
      const offer = `GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`
      const next = 'GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
      const answers = parseResponses(await exchangeRaw(port, offer + next))
      t.same(
        answers.map(({ status }) => status),
        [200, 200],
      )
      t.same(origin.lines, ['GET /a HTTP/1.1', 'GET /b HTTP/1.1'])
      const names = origin.requests[0].fields.map(([name]) => name)
      t.notOk(names.includes('upgrade') || names.includes('connection'), protocol)
      t.same(origin.faults, [])
    }
  },
)

t.test('framing fields in another spelling do not reach an origin that folds names', async (t) => {
  const { port, origin } = await setUp(t)
  const lines = 'Transfer_Encoding: chunked\r\nContent_Length: 5\r\nConnection: close\r\n'
  const octets = `GET /a HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
  const [answer] = parseResponses(await exchangeRaw(port, octets))
  t.equal(answer.status, 200)
  const names = origin.requests[0].fields.map(([name]) => name)
  t.notOk(names.some((name) => name.includes('_')))
})

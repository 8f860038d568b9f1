import t from 'tap'
import { exchangeRaw } from '../../packages/proxy/src/transport/h1/support/raw-client.ts'
import { type Edge, onBoth, startEdge } from '../support/edge.ts'
import type { Script } from '../support/scripted-origin.ts'

const FRESH = { 'Cache-Control': 'max-age=60' }

/** Says what it was asked, so that a mix-up shows. */
const echo: Script = (wire, request) => {
  wire.answer({ fields: FRESH, body: `${request.method} ${request.target}` })
}

const URL_PAIRS: [string, string][] = [
  ['/a', '/A'],
  ['/a', '/a/'],
  ['/a', '//a'],
  ['/a/b', '/a//b'],
  ['/a', '/a?'],
  ['/a?', '/a??'],
  ['/a?b', '/a?b='],
  ['/a?b=1', '/a?B=1'],
  ['/a?b=1', '/a?b=1&'],
  ['/a?b=1&c=2', '/a?c=2&b=1'],
  ['/a?b=1&c=2', '/a?b=1;c=2'],
  ['/a?b=1', '/a?b=%31'],
  ['/a?b=c+d', '/a?b=c%20d'],
  ['/a?b=%2f', '/a?b=/'],
  ['/a?b=%2f', '/a?b=%2F'],
  ['/a/b', '/a%2Fb'],
  ['/a;b', '/a'],
  ['/a;b', '/a%3Bb'],
  ['/a%3Fb', '/a?b'],
  ['/a%23b', '/a'],
  ['/a%25b', '/ab'],
  ['/a%2541', '/a%41'],
  ['/a.', '/a'],
  ['/a%20', '/a'],
  ['/a%0a', '/a'],
  ['/a%0d%0ab', '/ab'],
  ['/a%00', '/a'],
  ['/a%5Cb', '/a/b'],
  ['/a%c3%a4', '/a%e4'],
  ['/a+b', '/a%20b'],
]

t.test(
  'URLs that an origin may tell apart are never one stored response (RFC 3986 §6)',
  async (t) => {
    for (const [one, other] of URL_PAIRS) {
      const edge = await startEdge(t, 'h1')
      edge.origin.answersElse(echo)
      for (const order of [
        [one, other],
        [other, one],
      ]) {
        for (const target of order) {
          const { status, text } = await edge.get(target)
          const itself = edge.origin.requests.some((request) => text === `GET ${request.target}`)
          t.ok(status === 400 || itself, `${target}: ${status}`)
        }
      }
      const targets = new Set(edge.origin.requests.map(({ target }) => target))
      const refused = (await edge.get(one)).status >= 400 || (await edge.get(other)).status >= 400
      t.ok(targets.size === 2 || refused, `${one} and ${other}: ${[...targets]}`)
    }
  },
)

t.test('what is one key is also one URL for the origin (RFC 3986 §6.2.2)', async (t) => {
  const same: string[][] = [
    ['/a', '/%61', '/b/../a', '/./a', '/%2e/a', '/b/%2E%2e/a'],
    ['/~x', '/%7Ex', '/%7ex'],
    ['/a%2Fb', '/a%2fb'],
  ]
  for (const targets of same) {
    const edge = await startEdge(t, 'h1')
    edge.origin.answers(targets[0], echo)
    for (const target of targets) {
      t.equal((await edge.get(target)).text, `GET ${targets[0]}`, target)
    }
    t.equal(edge.origin.asked(), 1, targets.join(' '))
  }
})

onBoth(
  'a body on GET neither changes nor makes what is stored (RFC 9110 §9.3.1)',
  async (t, edge) => {
    const answer: Script = (wire, request) => {
      const reply = () => wire.answer({ fields: FRESH, body: `body=${request.body}` })
      if (request.fields.has('content-length'))
        void edge.origin.until(() => request.whole).then(reply)
      else reply()
    }
    edge.origin.answers('/fat', answer)
    await edge.request({ method: 'GET', path: '/fat', body: 'evil=1' })
    t.equal((await edge.get('/fat')).text, 'body=')
    await edge.request({ method: 'GET', path: '/fat', body: 'evil=2' })
    t.equal((await edge.get('/fat')).text, 'body=')
  },
)

onBoth(
  'no other method gives or takes the stored response of GET (RFC 9111 §2)',
  async (t, edge) => {
    const methods = [
      'POST',
      'PUT',
      'PATCH',
      'DELETE',
      'OPTIONS',
      'FOO',
      'get',
      'Get',
      'GETT',
      'QUERY',
    ]
    for (const method of methods) {
      const path = `/${method}`
      edge.origin.answers(path, echo)
      t.equal((await edge.request({ method, path })).text, `${method} ${path}`, `${method} first`)
      t.equal((await edge.get(path)).text, `GET ${path}`, `GET behind ${method}`)
      t.equal((await edge.request({ method, path })).text, `${method} ${path}`, `${method} again`)
      t.equal((await edge.get(path)).text, `GET ${path}`, `GET behind ${method} again`)
    }
    edge.origin.answers('/head', echo)
    await edge.head('/head')
    t.equal(
      (await edge.get('/head')).text,
      'GET /head',
      'an answer without content is not the content',
    )
  },
)

const DISGUISES = [
  '/me/x.css',
  '/me%2Fx.css',
  '/me;x.css',
  '/me%00.css',
  '/me%0Ax.js',
  '/me%3Fx.png',
  '/me?x.css',
  '/me/..%2Fx.css',
  '/me%23.css',
  '/me.css/',
]
const PRIVATE: Record<string, string | string[]>[] = [
  { 'Cache-Control': 'private' },
  { 'Cache-Control': 'no-store' },
  { 'Cache-Control': 'NO-STORE' },
  { 'Cache-Control': ['max-age=60', 'private'] },
  { 'Cache-Control': ['public, max-age=60', 'no-store'] },
  { 'Cache-Control': 'max-age=60 , Private' },
  { 'cache-control': 'private, max-age=60' },
]

t.test(
  'what the origin calls private is not stored, whatever the URL looks like (RFC 9111 §5.2.2)',
  async (t) => {
    const edge = await startEdge(t, 'h1', { rules: [{ path: '*', cache: { defaultTtl: '1h' } }] })
    for (const path of DISGUISES) {
      for (const [index, fields] of PRIVATE.entries()) {
        const target = `${path}${path.includes('?') ? '&' : '?'}${index}`
        edge.origin.answers(target, { fields, body: 'victim' }, { fields, body: 'attacker' })
        const first = await edge.get(target)
        if (first.status === 400) continue
        const second = await edge.get(target)
        t.equal(second.text, 'attacker', `${target} ${JSON.stringify(fields)}`)
      }
    }
  },
)

onBoth('what a client did to its own answer is not stored for others', async (t, edge) => {
  const bad: [what: string, status: number, fields: Record<string, string>][] = [
    ['400 for a large field', 400, FRESH],
    ['431', 431, FRESH],
    ['413', 413, FRESH],
    ['412', 412, FRESH],
    ['416', 416, { ...FRESH, 'Content-Range': 'bytes */4' }],
    ['206', 206, { ...FRESH, 'Content-Range': 'bytes 0-0/4' }],
    ['304', 304, FRESH],
  ]
  for (const [what, status, fields] of bad) {
    const path = `/${status}`
    edge.origin.answers(
      path,
      { status, fields, body: status === 206 ? 'x' : '' },
      { fields: FRESH, body: 'good' },
    )
    await edge.get(path, {
      'X-Oversized': 'x'.repeat(8000),
      'X-Meta': '\x7f'.replace('\x7f', '%00'),
      Range: 'bytes=0-0',
      'If-None-Match': '"zzz"',
    })
    const next = await edge.get(path)
    // 400 with an explicit lifetime is storable by the letter of RFC 9111 §3; it is what the origin asked for.
    if (status !== 400) t.match([next.status, next.text], [200, 'good'], what)
  }
})

t.test(
  'a field that Connection names away is not part of the key, because the origin does not see it (RFC 9110 §7.6.1)',
  async (t) => {
    const edge = await startEdge(t, 'h1')
    edge.origin.answers('/vary', (wire, request) => {
      wire.answer({
        fields: { ...FRESH, Vary: 'X-Lang' },
        body: `lang=${request.fields.get('x-lang') ?? 'none'}`,
      })
    })
    const get = (lines: string) => {
      const head = `GET /vary HTTP/1.1\r\nHost: 127.0.0.1:${edge.ports.http}\r\n`
      return exchangeRaw(edge.ports.http, `${head}${lines}\r\n`)
    }
    t.match(await get('X-Lang: de\r\nConnection: close, X-Lang\r\n'), /lang=none$/)
    t.match(await get('X-Lang: de\r\nConnection: close\r\n'), /lang=de$/)
    t.match(await get('Connection: close\r\n'), /lang=none$/)
  },
)

onBoth('those who wait do not share what turns out private (RFC 9111 §3)', async (t, edge) => {
  const privates: Record<string, string>[] = [
    { 'Cache-Control': 'private' },
    { 'Cache-Control': 'no-store' },
    { ...FRESH, 'Set-Cookie': 'session=1' },
  ]
  for (const [index, fields] of privates.entries()) {
    const path = `/private-${index}`
    let count = 0
    const release: (() => void)[] = []
    edge.origin.answers(path, (wire) => {
      const body = `for ${++count}`
      release.push(() => wire.answer({ fields, body }))
      if (count > 1) release[count - 1]()
    })
    const waiting = Array.from({ length: 20 }, () => edge.get(path))
    await edge.origin.untilAsked(1, path)
    release[0]()
    const texts = new Set((await Promise.all(waiting)).map(({ text }) => text))
    t.equal(texts.size, 20, `${JSON.stringify(fields)}: to each its own`)
  }
})

onBoth('Set-Cookie of one client does not reach another', async (t, edge: Edge) => {
  edge.origin.answers('/cookie', { fields: { ...FRESH, 'Set-Cookie': 'session=1' }, body: 'x' })
  await edge.get('/cookie')
  const second = await edge.get('/cookie')
  t.ok(!second.fields.has('set-cookie') || edge.origin.asked('/cookie') === 2)
})

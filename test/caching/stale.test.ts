import { freshPath } from '../support/asserts.ts'
import { type Edge, onBoth } from '../support/edge.ts'
import type { Answer } from '../support/scripted-origin.ts'

/** Ways in which an origin fails, by name. */
const FAILURES: readonly [string, Answer][] = [
  ['500', { status: 500 }],
  ['502', { status: 502 }],
  ['503', { status: 503 }],
  ['504', { status: 504 }],
  ['closed', (wire) => wire.end()],
  ['reset', (wire) => wire.reset()],
  ['hang', () => {}],
  ['garbage', (wire) => wire.write('SSH-2.0-OpenSSH_9.2\r\n\r\n').end()],
  ['half a head', (wire) => wire.write('HTTP/1.1 200 OK\r\nContent-Le').end()],
  ['two lengths', (wire) => wire.head(200, { 'Content-Length': ['1', '2'] }).write('x')],
]

const SOON = { tenant: { originTimeouts: { connect: '300ms', firstByte: '300ms', idle: '300ms' } } }

async function staleAfter(
  { get, origin, clock }: Edge,
  cacheControl: string,
  seconds: number,
  failure: Answer,
): Promise<Awaited<ReturnType<Edge['get']>>> {
  const path = freshPath()
  const fields = { 'Cache-Control': cacheControl, ETag: '"a"' }
  origin.answers(path, { fields, body: 'stored' }, failure)
  await get(path)
  clock.advanceSeconds(seconds)
  return get(path)
}

onBoth(
  'stale-while-revalidate answers at once and validates once behind (RFC 5861 §3)',
  async (t, { get, origin, clock }) => {
    const barrier = Promise.withResolvers<void>()
    const fields = { 'Cache-Control': 'max-age=10, stale-while-revalidate=20', ETag: '"a"' }
    origin.answers('/', { fields, body: 'old' }, async (wire) => {
      await barrier.promise
      wire.answer({ fields: { ...fields, ETag: '"b"' }, body: 'new' })
    })
    await get('/')
    clock.advanceSeconds(15)
    for (let i = 0; i < 5; i++) {
      const answer = await get('/')
      t.equal(answer.text, 'old')
      t.match(answer.cacheStatus, /^Larder; hit; ttl=-5; detail=stale-while-revalidate$/)
      t.equal(answer.age, 15)
    }
    await origin.untilAsked(2)
    t.equal(origin.lastRequest.fields.get('if-none-match'), '"a"')
    barrier.resolve()
    const refreshed = await untilText(get, 'new')
    t.match(refreshed.cacheStatus, /^Larder; hit; ttl=10/)
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'beyond its window stale-while-revalidate waits for the origin (RFC 5861 §3)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10, stale-while-revalidate=20', ETag: '"a"' }
    origin.answers('/', { fields, body: 'old' }, { fields, body: 'new' })
    await get('/')
    clock.advanceSeconds(30)
    const answer = await get('/')
    t.equal(answer.text, 'new')
    t.match(answer.cacheStatus, /fwd=stale/)
  },
)

onBoth(
  'a HEAD for a stale response has it validated behind by a GET (RFC 5861 §3)',
  async (t, { get, head, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10, stale-while-revalidate=20', ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'old' },
      { fields: { ...fields, ETag: '"b"' }, body: 'new' },
    )
    await get('/')
    clock.advanceSeconds(15)
    t.equal((await head('/')).fields.get('etag'), '"a"')
    await origin.untilAsked(2)
    t.equal(origin.lastRequest.method, 'GET')
    t.equal((await untilText(get, 'new')).text, 'new')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a validation behind that finds the origin down is tried again at the next request (RFC 5861 §3)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10, stale-while-revalidate=20', ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'old' },
      (wire) => wire.reset(),
      (wire) => wire.reset(),
      { fields, body: 'new' },
    )
    await get('/')
    clock.advanceSeconds(15)
    t.equal((await untilText(get, 'new')).text, 'new')
  },
)

onBoth(
  'stale-if-error covers every way in which an origin fails (RFC 5861 §4)',
  SOON,
  async (t, edge) => {
    for (const [name, failure] of FAILURES) {
      const answer = await staleAfter(edge, 'max-age=10, stale-if-error=60', 30, failure)
      t.equal(answer.status, 200, name)
      t.equal(answer.text, 'stored', name)
      t.match(answer.cacheStatus, /^Larder; fwd=stale;.* detail=stale-if-error$/, name)
      t.equal(answer.age, 30, name)
    }
  },
)

onBoth(
  'stale-if-error covers an origin that refuses connections (RFC 5861 §4)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10, stale-if-error=60' }
    origin.answers('/', { fields, body: 'stored' })
    await get('/')
    clock.advanceSeconds(30)
    await origin.close()
    const answer = await get('/')
    t.equal(answer.text, 'stored')
    t.match(answer.cacheStatus, /detail=stale-if-error/)
  },
)

onBoth(
  'stale-if-error covers HEAD, conditions and ranges as well (RFC 5861 §4)',
  async (t, { get, head, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10, stale-if-error=60', ETag: '"a"' }
    origin.answers('/', { fields, body: 'stored' }, (wire) => wire.reset())
    await get('/')
    clock.advanceSeconds(30)
    const headed = await head('/')
    t.equal(headed.status, 200)
    t.equal(headed.fields.get('content-length'), '6')
    t.match(headed.cacheStatus, /detail=stale-if-error/)
    t.equal((await get('/', { 'If-None-Match': '"a"' })).status, 304)
    const part = await get('/', { Range: 'bytes=1-2' })
    t.equal(part.status, 206)
    t.equal(part.text, 'to')
  },
)

onBoth('beyond stale-if-error the failure is shown (RFC 5861 §4)', SOON, async (t, edge) => {
  for (const [name, failure] of FAILURES) {
    const answer = await staleAfter(edge, 'max-age=10, stale-if-error=60', 80, failure)
    t.ok(answer.status >= 500, name)
    if (!/^\d/.test(name)) t.match(answer.fields.get('proxy-status'), /^Larder; error=/, name)
  }
})

onBoth(
  'stale-if-error in the request allows as much (RFC 5861 §4)',
  async (t, { get, origin, clock }) => {
    origin.answers(
      '/',
      { fields: { 'Cache-Control': 'max-age=10' }, body: 'stored' },
      { status: 503 },
    )
    await get('/')
    clock.advanceSeconds(30)
    t.equal((await get('/', { 'Cache-Control': 'stale-if-error=10' })).status, 503)
    t.equal((await get('/', { 'Cache-Control': 'stale-if-error=60' })).text, 'stored')
  },
)

onBoth(
  'must-revalidate, proxy-revalidate, s-maxage and no-cache are never served stale (RFC 9111 §4.2.4)',
  SOON,
  async (t, edge) => {
    const allowed = 'stale-while-revalidate=600, stale-if-error=600'
    for (const directive of [
      'max-age=10, must-revalidate',
      'max-age=10, proxy-revalidate',
      's-maxage=10',
      'max-age=10, no-cache',
    ]) {
      for (const [name, failure] of FAILURES) {
        const answer = await staleAfter(edge, `${directive}, ${allowed}`, 11, failure)
        t.ok(answer.status >= 500, `${directive}: ${name}`)
        t.not(answer.text, 'stored')
      }
    }
  },
)

onBoth(
  'a cache that cannot reach its origin uses what it has, an error answer it passes on (RFC 9111 §4.2.4)',
  SOON,
  async (t, edge) => {
    for (const [name, failure] of FAILURES) {
      const answer = await staleAfter(edge, 'max-age=10', 30, failure)
      if (/^\d/.test(name)) t.equal(answer.status, Number(name))
      else t.equal(answer.text, 'stored', name)
    }
  },
)

onBoth(
  'with nothing stored the failure has a status and a Proxy-Status (RFC 9209 §2.3)',
  SOON,
  async (t, { get, origin }) => {
    const rows: [string, number, string][] = [
      ['closed', 502, 'connection_terminated'],
      ['reset', 502, 'connection_terminated'],
      ['hang', 504, 'http_response_timeout'],
      ['garbage', 502, 'http_protocol_error'],
      ['two lengths', 502, 'http_protocol_error'],
    ]
    for (const [name, status, error] of rows) {
      const path = freshPath()
      const failure = FAILURES.find(([known]) => known === name)
      origin.answers(path, failure?.[1] ?? {})
      const answer = await get(path)
      t.equal(answer.status, status, name)
      t.match(answer.fields.get('proxy-status'), `Larder; error=${error}`, name)
      t.equal(answer.fields.get('cache-control'), 'no-store', name)
    }
    await origin.close()
    const refused = await get('/refused')
    t.equal(refused.status, 502)
    t.match(refused.fields.get('proxy-status'), 'Larder; error=connection_refused')
  },
)

onBoth(
  'a stored error that is fresh again replaces the stale response (RFC 9111 §4.3.3)',
  async (t, { get, origin, clock }) => {
    origin.answers(
      '/',
      { fields: { 'Cache-Control': 'max-age=10', ETag: '"a"' }, body: 'old' },
      { status: 404, fields: { 'Cache-Control': 'max-age=10' }, body: 'gone' },
    )
    await get('/')
    clock.advanceSeconds(10)
    t.equal((await get('/')).status, 404)
    t.equal((await get('/')).text, 'gone')
    t.equal(origin.asked(), 2)
  },
)

const BY_RULE = {
  ...SOON,
  rules: [{ path: '*', cache: { staleWhileRevalidate: '20s', staleIfError: '1h' } }],
}

onBoth(
  'a rule gives stale times to responses that do not say (RFC 5861)',
  BY_RULE,
  async (t, edge) => {
    const behind = await staleAfter(edge, 'max-age=10', 25, { status: 304 })
    t.match(behind.cacheStatus, /detail=stale-while-revalidate/)
    for (const [name, failure] of FAILURES) {
      const answer = await staleAfter(edge, 'max-age=10', 100, failure)
      t.match(answer.cacheStatus, /detail=stale-if-error/, name)
    }
    const own = await staleAfter(edge, 'max-age=10, stale-if-error=5', 100, { status: 503 })
    t.equal(own.status, 503, 'the origin said less')
    const strict = await staleAfter(edge, 'max-age=10, must-revalidate', 15, { status: 503 })
    t.equal(strict.status, 503, 'the origin forbids it')
  },
)

/** Asks until the answer has this body: what goes on behind has no other sign. */
async function untilText(
  get: Edge['get'],
  text: string,
): Promise<Awaited<ReturnType<Edge['get']>>> {
  for (let tries = 0; tries < 1000; tries++) {
    const answer = await get('/')
    if (answer.text === text) return answer
  }
  throw new Error(`No answer became '${text}'.`)
}

import { assertReused, freshPath } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'

onBoth('no-store and private are never stored (RFC 9111 §5.2.2.5, §5.2.2.7)', async (t, edge) => {
  for (const value of [
    'no-store',
    'NO-STORE, max-age=60',
    'max-age=60, no-store',
    'private, max-age=60',
    'private, s-maxage=60',
    'max-age=60, foo="bar, max-age=1", no-store',
    'no-store="x", max-age=60',
  ]) {
    await assertReused(t, edge, false, { fields: { 'Cache-Control': value } }, value)
  }
  const lines = { 'Cache-Control': ['max-age=60', 'no-store'] }
  await assertReused(t, edge, false, { fields: lines }, 'on a second line')
})

onBoth(
  'no-cache is stored and validated each time (RFC 9111 §5.2.2.4)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'no-cache, max-age=60', ETag: '"a"' }
    origin.answers('/', { fields, body: 'hello' }, { status: 304, fields })
    await get('/')
    for (const asked of [2, 3]) {
      const answer = await get('/')
      t.equal(origin.asked(), asked)
      t.equal(origin.lastRequest.fields.get('if-none-match'), '"a"')
      t.equal(answer.status, 200)
      t.equal(answer.text, 'hello')
      t.match(answer.cacheStatus, /fwd=(request|stale); fwd-status=304/)
    }
  },
)

onBoth(
  'fields named by no-cache or private are never shown from the store (RFC 9111 §5.2.2.4, §5.2.2.7)',
  async (t, { get, origin }) => {
    for (const directive of ['no-cache', 'private']) {
      for (const names of ['"x-secret"', '"a, X-Secret ,"', 'x-secret']) {
        const path = freshPath()
        const fields = {
          'Cache-Control': `max-age=60, ${directive}=${names}`,
          'X-Secret': 'mine',
          'X-Shown': 'ours',
        }
        origin.answers(path, { fields })
        t.equal((await get(path)).fields.get('x-secret'), 'mine', `${directive}=${names}: first`)
        const hit = await get(path)
        t.match(hit.cacheStatus, /^Larder; hit/)
        t.notOk(hit.fields.has('x-secret'), `${directive}=${names}: withheld`)
        t.equal(hit.fields.get('x-shown'), 'ours')
      }
    }
  },
)

onBoth(
  'must-understand forbids unknown statuses and outweighs no-store for known ones (RFC 9111 §5.2.2.3)',
  async (t, edge) => {
    const fields = { 'Cache-Control': 'must-understand, no-store, max-age=60' }
    await assertReused(t, edge, true, { fields }, '200')
    await assertReused(t, edge, true, { status: 404, fields }, '404')
    await assertReused(t, edge, false, { status: 299, fields }, '299')
    await assertReused(t, edge, false, { status: 499, fields }, '499')
  },
)

onBoth(
  'an answer to Authorization is shared only when the origin allows it (RFC 9111 §3.5)',
  async (t, { get, origin }) => {
    const authorization = { Authorization: 'Basic dTpw' }
    const rows: [string, boolean][] = [
      ['max-age=60', false],
      ['max-age=60, public', true],
      ['max-age=60, must-revalidate', true],
      ['s-maxage=60', true],
      ['max-age=60, proxy-revalidate', false],
      ['max-age=60, immutable', false],
    ]
    for (const [value, shared] of rows) {
      const path = freshPath()
      origin.answers(path, { fields: { 'Cache-Control': value } })
      const first = await get(path, authorization)
      await get(path)
      t.equal(origin.asked(path), shared ? 1 : 2, value)
      if (!shared) t.match(first.cacheStatus, /detail=authorization/, value)
    }
  },
)

onBoth(
  'a stored response is for requests with Authorization, too (RFC 9111 §3.5)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=60' } })
    await get('/')
    await get('/', { Authorization: 'Basic dTpw' })
    t.equal(origin.asked(), 1)
  },
)

onBoth('Set-Cookie is for one client: never stored (RFC 9111 §7.3)', async (t, edge) => {
  const fields = { 'Cache-Control': 'max-age=60', 'Set-Cookie': ['a=1', 'b=2'] }
  await assertReused(t, edge, false, { fields }, 'explicitly fresh')
  const publicly = { ...fields, 'Cache-Control': 'public, s-maxage=60' }
  await assertReused(t, edge, false, { fields: publicly }, 'public')
  const path = freshPath()
  edge.origin.answers(path, { fields })
  t.same((await edge.get(path)).fields.values('set-cookie'), ['a=1', 'b=2'])
})

const COOKIE_RULE = { rules: [{ path: '*', cache: { storeSetCookie: true } }] }

onBoth(
  'with storeSetCookie an explicitly fresh response is stored without the field (RFC 9111 §7.3)',
  COOKIE_RULE,
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', 'Set-Cookie': 'a=1' }
    origin.answers('/', { fields, body: 'hello' })
    t.equal((await get('/')).fields.get('set-cookie'), 'a=1')
    const hit = await get('/')
    t.equal(hit.text, 'hello')
    t.notOk(hit.fields.has('set-cookie'))
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'with storeSetCookie a heuristically fresh response is not stored (RFC 9111 §7.3)',
  COOKIE_RULE,
  async (t, edge) => {
    const fields = { 'Last-Modified': edge.clock.date(-1000), 'Set-Cookie': 'a=1' }
    await assertReused(t, edge, false, { fields }, 'heuristic')
  },
)

onBoth('any final status with explicit freshness is stored (RFC 9111 §3)', async (t, edge) => {
  const fields = { 'Cache-Control': 'max-age=60' }
  for (const status of [
    200, 201, 202, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404, 410, 418, 451, 499,
    500, 501, 502, 503, 504, 599,
  ]) {
    await assertReused(t, edge, true, { status, fields }, `${status}`)
  }
})

onBoth(
  'failures of one request are stored for nobody (RFC 9110 §15.5.13, §15.5.17)',
  async (t, edge) => {
    const fields = { 'Cache-Control': 'max-age=60' }
    for (const status of [412, 416, 417, 431]) {
      await assertReused(t, edge, false, { status, fields }, `${status}`)
    }
  },
)

onBoth(
  'a POST with explicit freshness and its own Content-Location answers later GETs (RFC 9110 §9.3.3)',
  async (t, { get, request, origin, baseUrl }) => {
    for (const location of ['/form', `${baseUrl}/form`, 'form']) {
      const fields = { 'Cache-Control': 'max-age=60', 'Content-Location': location }
      origin.answers('/form', { fields, body: 'result' })
      await request({ method: 'POST', path: '/form', body: 'x=1' })
      const asked = origin.asked()
      const hit = await get('/form')
      t.equal(origin.asked(), asked, location)
      t.equal(hit.text, 'result')
      await request({ method: 'DELETE', path: '/form' })
    }
  },
)

onBoth(
  'any other POST answers for itself alone (RFC 9110 §9.3.3)',
  async (t, { get, request, origin, baseUrl }) => {
    const rows: FieldValues[] = [
      { 'Cache-Control': 'max-age=60' },
      { 'Content-Location': 'SELF', ETag: '"x"', 'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT' },
      { 'Cache-Control': 'max-age=60', 'Content-Location': '/elsewhere' },
      { 'Cache-Control': 'max-age=60, no-store', 'Content-Location': 'SELF' },
      { 'Cache-Control': 'max-age=60', 'Content-Location': 'http://other.test/form' },
      { 'Cache-Control': 'max-age=60', 'Content-Location': 'SELF', Vary: '*' },
    ]
    for (const fields of rows) {
      const path = freshPath()
      const location = fields['Content-Location'] === 'SELF' ? `${baseUrl}${path}` : undefined
      const given = location === undefined ? fields : { ...fields, 'Content-Location': location }
      origin.answers(path, { fields: given, body: 'result' })
      await request({ method: 'POST', path, body: 'x=1' })
      await get(path)
      t.equal(origin.asked(path), 2, JSON.stringify(fields))
    }
  },
)

onBoth(
  'fields that the Connection of the origin names are neither stored nor forwarded (RFC 9110 §7.6.1)',
  async (t, { get, origin }) => {
    const fields = {
      'Cache-Control': 'max-age=60',
      Connection: 'X-Hop, close',
      'X-Hop': '1',
      'Keep-Alive': 'timeout=5',
      'Proxy-Authenticate': 'Basic',
      'X-Kept': '2',
    }
    origin.answers('/', { fields, body: 'hello' })
    for (const { fields } of [await get('/'), await get('/')]) {
      for (const name of ['x-hop', 'keep-alive', 'proxy-authenticate', 'transfer-encoding']) {
        t.notOk(fields.has(name), name)
      }
      t.equal(fields.get('x-kept'), '2')
    }
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'bytes beyond Content-Length never reach anyone (RFC 9112 §6.3)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', 'Content-Length': '5' }
    const leak = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nleak'
    origin.answers('/', { fields, body: `hello${leak}` })
    origin.answers('/next', { fields: { 'Cache-Control': 'max-age=60' }, body: 'next' })
    const first = await get('/')
    t.equal(first.text, 'hello')
    t.equal(first.surplus.length, 0)
    t.equal((await get('/next')).text, 'next')
    t.equal((await get('/')).text, 'hello')
  },
)

onBoth(
  'a body shorter than Content-Length is cut at the client and not stored (RFC 9111 §3.3)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', 'Content-Length': '10' }
    origin.answers(
      '/',
      (wire) => wire.head(200, fields).write('hello').end(),
      (wire) => wire.head(200, fields).write('hello').reset(),
      { fields: { 'Cache-Control': 'max-age=60' }, body: 'whole' },
    )
    for (const cut of [await get('/'), await get('/')]) {
      t.notOk(cut.complete)
      t.ok(cut.cut)
    }
    t.equal((await get('/')).text, 'whole')
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'a chunked body without its last chunk is cut at the client and not stored (RFC 9112 §8)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', 'Transfer-Encoding': 'chunked' }
    origin.answers(
      '/',
      (wire) => wire.head(200, fields).chunk('hello').end(),
      (wire) => wire.head(200, fields).chunk('hello').chunk(' you').lastChunk(),
    )
    const first = await get('/')
    t.ok(first.cut)
    t.equal((await get('/')).text, 'hello you')
    t.equal((await get('/')).text, 'hello you')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a body that ends with its connection is complete (RFC 9112 §6.3)',
  async (t, { get, origin }) => {
    origin.answers('/', (wire) =>
      wire.head(200, { 'Cache-Control': 'max-age=60' }).write('hello').end(),
    )
    const first = await get('/')
    t.ok(first.complete)
    t.equal(first.text, 'hello')
    t.equal((await get('/')).text, 'hello')
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'a GET with a body is answered for itself alone (RFC 9110 §9.3.1)',
  async (t, { get, request, origin }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=60' } })
    await request({ path: '/', body: 'input' })
    await get('/')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'no-store in the request keeps its answer out of the store (RFC 9111 §5.2.1.5)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=60' } })
    const first = await get('/', { 'Cache-Control': 'no-store' })
    t.match(first.cacheStatus, /detail=request-no-store/)
    await get('/')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'every refusal to store says why in Cache-Status (RFC 9211 §2.8)',
  async (t, { get, origin }) => {
    const rows: [string, Record<string, string>, number][] = [
      ['no-store', { 'Cache-Control': 'no-store' }, 200],
      ['private', { 'Cache-Control': 'private, max-age=60' }, 200],
      ['set-cookie', { 'Cache-Control': 'max-age=60', 'Set-Cookie': 'a=1' }, 200],
      ['vary-star', { 'Cache-Control': 'max-age=60', Vary: '*' }, 200],
      ['no-freshness', {}, 200],
      ['status', {}, 500],
      ['status-not-understood', { 'Cache-Control': 'must-understand, max-age=60' }, 299],
    ]
    for (const [detail, fields, status] of rows) {
      const path = freshPath()
      origin.answers(path, { status, fields })
      const { cacheStatus } = await get(path)
      t.equal(cacheStatus, `Larder; fwd=uri-miss; fwd-status=${status}; detail=${detail}`)
    }
  },
)

import { assertFreshFor, assertReused, freshPath } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'

const FRESH = { fields: { 'Cache-Control': 'max-age=60' }, body: 'hello' }
const rule = (cache: unknown, path = '*') => ({ rules: [{ path, cache }] })

onBoth(
  'ttl takes the place of the lifetime of the origin',
  rule({ ttl: '30s' }),
  async (t, edge) => {
    await assertFreshFor(t, edge, 30, FRESH, 'longer')
    await assertFreshFor(t, edge, 30, { fields: { 'Cache-Control': 'max-age=5' } }, 'shorter')
    await assertFreshFor(t, edge, 30, {}, 'silent')
    await assertReused(t, edge, false, { fields: { 'Cache-Control': 'no-store' } }, 'forbidden')
    await assertReused(t, edge, false, { status: 500 }, 'an error is no content')
  },
)

onBoth(
  'defaultTtl is for responses without explicit freshness',
  rule({ defaultTtl: '30s' }),
  async (t, edge) => {
    await assertFreshFor(t, edge, 30, {}, 'silent')
    await assertFreshFor(t, edge, 60, FRESH, 'explicit')
    const old = { 'Last-Modified': edge.clock.date(-100_000) }
    await assertFreshFor(t, edge, 30, { fields: old }, 'instead of the heuristic')
    await assertReused(t, edge, false, { status: 404 }, 'not for errors')
    await assertReused(t, edge, false, { fields: { 'Cache-Control': 'private' } }, 'forbidden')
  },
)

onBoth(
  'minTtl and maxTtl bound the lifetime of the origin',
  rule({ minTtl: '10s', maxTtl: '30s' }),
  async (t, edge) => {
    for (const [maxAge, seconds] of [
      [5, 10],
      [10, 10],
      [20, 20],
      [30, 30],
      [600, 30],
    ]) {
      const fields = { 'Cache-Control': `max-age=${maxAge}` }
      await assertFreshFor(t, edge, seconds, { fields }, `max-age=${maxAge}`)
    }
  },
)

onBoth('bypass neither stores nor looks up', rule('bypass'), async (t, { get, origin }) => {
  origin.answers('/', FRESH)
  for (const asked of [1, 2]) {
    const answer = await get('/')
    t.equal(answer.cacheStatus, 'Larder; fwd=bypass; fwd-status=200')
    t.equal(origin.asked(), asked)
  }
})

onBoth(
  'with query: ignore one response is for every query, and the origin sees none',
  rule({ query: 'ignore' }),
  async (t, { get, origin }) => {
    origin.answers('/', FRESH)
    await get('/?a=1')
    t.equal(origin.lastRequest.target, '/')
    for (const path of ['/', '/?a=2', '/?', '/?b']) {
      t.match((await get(path)).cacheStatus, /^Larder; hit/, path)
    }
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'with query: sort the order of parameters makes no difference, that of equal names does',
  rule({ query: 'sort' }),
  async (t, { get, origin }) => {
    origin.answers('/', FRESH)
    await get('/?b=2&a=1&b=1')
    t.equal(origin.lastRequest.target, '/?a=1&b=2&b=1')
    t.match((await get('/?b=2&b=1&a=1')).cacheStatus, /^Larder; hit/)
    await get('/?b=1&b=2&a=1')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'with query: keep only the named parameters are key, and seen by the origin',
  rule({ query: { keep: ['id', 'ä b'] } }),
  async (t, { get, origin }) => {
    origin.answers('/', FRESH)
    await get('/?utm=1&id=7&x')
    t.equal(origin.lastRequest.target, '/?id=7')
    t.match((await get('/?id=7&utm=2')).cacheStatus, /^Larder; hit/)
    t.match((await get('/?%69d=7')).cacheStatus, /fwd=uri-miss/, 'its spelling goes along')
    await get('/?%C3%A4+b=1&c=2')
    t.equal(origin.lastRequest.target, '/?%C3%A4+b=1')
    await get('/?utm=1')
    t.equal(origin.lastRequest.target, '/')
  },
)

onBoth(
  'with query: drop the named parameters are neither key nor seen by the origin',
  rule({ query: { drop: ['utm', 'fbclid'] } }),
  async (t, { get, origin }) => {
    origin.answers('/', FRESH)
    await get('/?utm=1&id=7&fbclid=x&utm=3')
    t.equal(origin.lastRequest.target, '/?id=7')
    t.match((await get('/?id=7')).cacheStatus, /^Larder; hit/)
    await get('/?%75tm=1&id=7')
    t.equal(origin.asked(), 1)
  },
)

onBoth('without a query option every query is a key of its own', async (t, { get, origin }) => {
  origin.answers('/', FRESH)
  const queries = ['/', '/?', '/?a', '/?a=', '/?A', '/?a=1&b=2', '/?b=2&a=1', '/?a=%31']
  for (const path of queries) {
    await get(path)
    t.equal(origin.lastRequest.target, path)
  }
  t.equal(origin.asked(), queries.length)
})

onBoth(
  'a key by header tells requests apart by its value, absent and empty too',
  rule({ key: { headers: ['X-Device'] } }),
  async (t, { get, origin }) => {
    origin.answers('/', FRESH)
    const kinds: FieldValues[] = [
      {},
      { 'X-Device': '' },
      { 'x-device': 'phone' },
      { 'X-Device': 'desk' },
    ]
    for (const fields of kinds) await get('/', fields)
    t.equal(origin.asked(), kinds.length)
    for (const fields of kinds) t.match((await get('/', fields)).cacheStatus, /^Larder; hit/)
  },
)

onBoth(
  'a key by cookie sees the named cookies alone',
  rule({ key: { cookies: ['lang'] } }),
  async (t, { get, origin }) => {
    origin.answers('/', FRESH)
    await get('/', { Cookie: 'lang=de; session=1' })
    t.match((await get('/', { Cookie: 'session=2; lang=de' })).cacheStatus, /^Larder; hit/)
    await get('/', { Cookie: 'lang=en' })
    await get('/', { Cookie: 'xlang=de' })
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'an invalidation reaches what is stored under keys by header',
  rule({ key: { headers: ['X-Device'] } }),
  async (t, { get, request, origin }) => {
    origin.answers('/', FRESH)
    await get('/', { 'X-Device': 'phone' })
    await request({ method: 'DELETE', path: '/' })
    await get('/', { 'X-Device': 'phone' })
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'originDirectives: ignore stores what the origin forbids, for as long as the rule says',
  rule({ originDirectives: 'ignore', defaultTtl: '30s' }),
  async (t, edge) => {
    for (const value of ['no-store', 'private', 'no-cache', 'max-age=0', 'max-age=600']) {
      await assertFreshFor(t, edge, 30, { fields: { 'Cache-Control': value } }, value)
    }
    const cookie = { 'Cache-Control': 'max-age=60', 'Set-Cookie': 'a=1' }
    await assertReused(t, edge, false, { fields: cookie }, 'Set-Cookie stays private')
    const path = freshPath()
    edge.origin.answers(path, FRESH)
    await edge.get(path, { Authorization: 'Basic dTpw' })
    await edge.get(path)
    t.equal(edge.origin.asked(path), 2, 'and so do answers to Authorization')
  },
)

const ORDER = {
  rules: [
    { path: '/api/open/*', cache: { ttl: '10s' } },
    { path: '/api/*', cache: 'bypass' },
    { path: '*', methods: ['HEAD'], cache: 'bypass' },
    { path: '*', cache: { ttl: '20s' } },
  ],
}

onBoth('the first rule that matches path and method decides', ORDER, async (t, edge) => {
  const { get, head, origin } = edge
  for (const path of ['/api/open/1', '/api/1', '/other']) origin.answers(path, {})
  t.match((await get('/api/open/1')).cacheStatus, /ttl=10/)
  t.match((await get('/api/1')).cacheStatus, /fwd=bypass/)
  t.match((await get('/other')).cacheStatus, /ttl=20/)
  t.match((await get('/other')).cacheStatus, /^Larder; hit/)
  t.match((await head('/other')).cacheStatus, /fwd=bypass/)
  t.match((await get('/other/../api/1?x')).cacheStatus, /fwd=bypass/, 'after normalisation')
  t.match((await get('/%61pi/1')).cacheStatus, /fwd=bypass/, 'escapes too')
})

onBoth(
  'an invalidation reaches what a query option keeps under one key',
  rule({ query: 'ignore' }),
  async (t, { get, request, origin }) => {
    origin.answers('/', FRESH)
    await get('/?a=1')
    await request({ method: 'POST', path: '/?b=2', body: 'x' })
    await get('/?c=3')
    t.equal(origin.asked(), 3)
  },
)

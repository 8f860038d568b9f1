import { onBoth } from '../support/edge.ts'

const FRESH = { fields: { 'Cache-Control': 'max-age=100', ETag: '"x"' }, body: 'hello' }
const IGNORE = { rules: [{ path: '*', cache: { requestDirectives: 'ignore' } }] }

onBoth(
  'no-cache in the request asks the origin (RFC 9111 §5.2.1.4)',
  async (t, { get, origin }) => {
    origin.answers('/', FRESH)
    await get('/')
    const answer = await get('/', { 'Cache-Control': 'no-cache' })
    t.equal(origin.asked(), 2)
    t.match(answer.cacheStatus, /fwd=request; fwd-status=200/)
    t.equal(origin.lastRequest.fields.get('if-none-match'), '"x"')
  },
)

onBoth(
  'max-age in the request bounds the age of the answer (RFC 9111 §5.2.1.1)',
  async (t, { get, origin, clock }) => {
    origin.answers('/', FRESH)
    await get('/')
    clock.advanceSeconds(30)
    t.equal((await get('/', { 'Cache-Control': 'max-age=30' })).age, 30)
    t.equal(origin.asked(), 1)
    const asked = await get('/', { 'Cache-Control': 'max-age=29' })
    t.match(asked.cacheStatus, /fwd=request/)
    t.equal(origin.asked(), 2)
    await get('/', { 'Cache-Control': 'max-age=0' })
    t.equal(origin.asked(), 2, 'an age of 0 is not above 0')
  },
)

onBoth(
  'min-fresh in the request asks for what stays fresh (RFC 9111 §5.2.1.3)',
  async (t, { get, origin, clock }) => {
    origin.answers('/', FRESH)
    await get('/')
    clock.advanceSeconds(40)
    await get('/', { 'Cache-Control': 'min-fresh=60' })
    t.equal(origin.asked(), 1)
    await get('/', { 'Cache-Control': 'min-fresh=61' })
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'max-stale in the request allows so much staleness, or any (RFC 9111 §5.2.1.2)',
  async (t, { get, origin, clock }) => {
    origin.answers('/', FRESH)
    await get('/')
    clock.advanceSeconds(120)
    const stale = await get('/', { 'Cache-Control': 'max-stale=20' })
    t.match(stale.cacheStatus, /^Larder; hit; ttl=-20; detail=max-stale/)
    t.equal(stale.age, 120)
    clock.advanceSeconds(10_000)
    t.match((await get('/', { 'Cache-Control': 'max-stale' })).cacheStatus, /^Larder; hit/)
    t.equal(origin.asked(), 1)
    await get('/', { 'Cache-Control': 'max-stale=20' })
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'max-stale does not get past what forbids stale use (RFC 9111 §5.2.2.2)',
  async (t, { get, origin, clock }) => {
    for (const value of [
      'max-age=1, must-revalidate',
      'max-age=1, proxy-revalidate',
      's-maxage=1',
    ]) {
      const path = `/${value.replaceAll(/[^a-z]/g, '')}`
      origin.answers(path, { fields: { 'Cache-Control': value, ETag: '"x"' } })
      await get(path)
      clock.advanceSeconds(2)
      await get(path, { 'Cache-Control': 'max-stale' })
      t.equal(origin.asked(path), 2, value)
    }
  },
)

onBoth(
  'only-if-cached gets what is stored, or 504 (RFC 9111 §5.2.1.7)',
  async (t, { get, origin, clock }) => {
    origin.answers('/', FRESH)
    const only = { 'Cache-Control': 'only-if-cached' }
    const miss = await get('/', only)
    t.equal(miss.status, 504)
    t.equal(origin.asked(), 0)
    t.match(miss.cacheStatus, /^Larder; .*detail=only-if-cached/)
    await get('/')
    t.equal((await get('/', only)).text, 'hello')
    clock.advanceSeconds(101)
    t.equal((await get('/', only)).status, 504, 'stale')
    const stale = await get('/', { 'Cache-Control': 'only-if-cached, max-stale' })
    t.equal(stale.status, 200, 'stale by permission')
    t.equal(origin.asked(), 1)
  },
)

onBoth('Pragma is ignored (RFC 9111 §5.4)', async (t, { get, origin }) => {
  origin.answers('/', FRESH)
  await get('/')
  const hit = await get('/', { Pragma: 'no-cache' })
  t.match(hit.cacheStatus, /^Larder; hit/)
  t.equal(origin.asked(), 1)
})

onBoth(
  'Pragma in a response says nothing about storing (RFC 9111 §5.4)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=60', Pragma: 'no-cache' } })
    await get('/')
    await get('/')
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'a rule can have the directives of requests ignored (RFC 9111 §5.2.1)',
  IGNORE,
  async (t, { get, origin, clock }) => {
    origin.answers('/', FRESH)
    t.equal((await get('/', { 'Cache-Control': 'only-if-cached, no-store' })).status, 200)
    clock.advanceSeconds(50)
    for (const value of ['no-cache', 'no-store', 'max-age=0', 'min-fresh=1000']) {
      t.match((await get('/', { 'Cache-Control': value })).cacheStatus, /^Larder; hit/, value)
    }
    t.equal(origin.asked(), 1)
    clock.advanceSeconds(51)
    await get('/', { 'Cache-Control': 'max-stale' })
    t.equal(origin.asked(), 2)
  },
)

onBoth('HEAD is answered from a stored GET (RFC 9111 §4)', async (t, { get, head, origin }) => {
  origin.answers('/', FRESH)
  await get('/')
  const answer = await head('/')
  t.equal(origin.asked(), 1)
  t.equal(answer.fields.get('content-length'), '5')
  t.equal(answer.body.length, 0)
  t.match(answer.cacheStatus, /^Larder; hit/)
})

onBoth('a GET is never answered from HEAD (RFC 9111 §4)', async (t, { get, head, origin }) => {
  origin.answers('/', FRESH)
  await head('/')
  t.equal((await get('/')).text, 'hello')
  t.same(
    origin.requests.map(({ method }) => method),
    ['HEAD', 'GET'],
  )
})

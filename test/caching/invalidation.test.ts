import { freshPath } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'

const FRESH = { fields: { 'Cache-Control': 'max-age=600' }, body: 'stored' }

onBoth(
  'unsafe and unknown methods that succeed invalidate their target (RFC 9111 §4.4)',
  async (t, { get, request, origin }) => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'MKCOL', 'FOO']) {
      for (const status of [200, 201, 204, 299, 302, 303]) {
        const path = freshPath()
        origin.answers(path, FRESH, { status }, FRESH)
        await get(path)
        const answer = await request({ method, path })
        t.match(answer.cacheStatus, /^Larder; fwd=method/, method)
        await get(path)
        t.equal(origin.asked(path), 3, `${method} ${status}`)
      }
    }
  },
)

onBoth(
  'an error invalidates nothing, and neither does a safe method (RFC 9111 §4.4)',
  async (t, { get, request, origin }) => {
    const rows: [string, number][] = [
      ['POST', 400],
      ['PUT', 404],
      ['DELETE', 500],
      ['FOO', 405],
      ['OPTIONS', 200],
      ['TRACE', 405],
    ]
    for (const [method, status] of rows) {
      const path = freshPath()
      origin.answers(path, FRESH, { status })
      await get(path)
      await request({ method, path })
      t.match((await get(path)).cacheStatus, /^Larder; hit/, `${method} ${status}`)
    }
  },
)

onBoth(
  'every variant and every stored part of the target goes (RFC 9111 §4.4)',
  async (t, { get, request, origin }) => {
    const fields = { 'Cache-Control': 'max-age=600', Vary: 'X-A' }
    origin.answers('/', { fields })
    await get('/', { 'X-A': '1' })
    await get('/', { 'X-A': '2' })
    await request({ method: 'DELETE', path: '/' })
    await get('/', { 'X-A': '1' })
    await get('/', { 'X-A': '2' })
    t.equal(origin.asked(), 5)
  },
)

onBoth(
  'Location and Content-Location of the same origin are invalidated, too (RFC 9111 §4.4)',
  async (t, { get, request, origin, baseUrl }) => {
    for (const name of ['Location', 'Content-Location']) {
      for (const reference of ['/other', 'other', `${baseUrl}/other`, '../other', '/x/../other']) {
        origin.answers('/other', FRESH)
        origin.answers('/form', { status: 201, fields: { [name]: reference } })
        await get('/other')
        const asked = origin.asked('/other')
        await request({ method: 'POST', path: '/form' })
        await get('/other')
        t.equal(origin.asked('/other'), asked + 1, `${name}: ${reference}`)
      }
    }
  },
)

onBoth(
  'what belongs to another origin is not invalidated (RFC 9111 §4.4)',
  async (t, { get, request, origin, baseUrl }) => {
    const { port, protocol } = new URL(baseUrl)
    const otherScheme = protocol === 'http:' ? 'https:' : 'http:'
    origin.answers('/other', FRESH)
    await get('/other')
    for (const reference of [
      `${protocol}//other.test:${port}/other`,
      `//other.test:${port}/other`,
      `${protocol}//127.0.0.1:1/other`,
      `${otherScheme}//127.0.0.1:${port}/other`,
      `${protocol}//user@127.0.0.1:${port}/other`,
    ]) {
      origin.answers('/form', { status: 201, fields: { Location: reference } })
      await request({ method: 'POST', path: '/form' })
      t.match((await get('/other')).cacheStatus, /^Larder; hit/, reference)
    }
    t.equal(origin.asked('/other'), 1)
  },
)

onBoth('each host has a store of its own (RFC 9111 §2)', async (t, { request, origin }) => {
  origin.answers('/', FRESH)
  await request({ path: '/', host: 'a.test' })
  await request({ path: '/', host: 'b.test' })
  t.equal(origin.asked(), 2)
  await request({ method: 'DELETE', path: '/', host: 'b.test' })
  t.match((await request({ path: '/', host: 'a.test' })).cacheStatus, /^Larder; hit/)
})

onBoth(
  'an answer that was under way when its target was invalidated is not stored (RFC 9111 §4.4)',
  async (t, { get, open, request, origin }) => {
    const barrier = Promise.withResolvers<void>()
    const fields = { 'Cache-Control': 'max-age=600', 'Content-Length': '6' }
    origin.answers(
      '/',
      async (wire) => {
        wire.head(200, fields).write('ol')
        await barrier.promise
        wire.write('d...')
      },
      { status: 204 },
      { ...FRESH, body: 'new' },
    )
    const early = open({ path: '/' })
    await early.bodyCame(2)
    await request({ method: 'DELETE', path: '/' })
    barrier.resolve()
    t.equal((await early.done()).text, 'old...')
    t.equal((await get('/')).text, 'new')
    t.equal((await get('/')).text, 'new')
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'a fetch without an answer yet is not stored once its target was invalidated (RFC 9111 §4.4)',
  async (t, { get, open, request, origin }) => {
    const barrier = Promise.withResolvers<void>()
    origin.answers(
      '/',
      async (wire) => {
        await barrier.promise
        wire.answer({ ...FRESH, body: 'old' })
      },
      { status: 204 },
      { ...FRESH, body: 'new' },
    )
    const early = open({ path: '/' })
    await origin.untilAsked(1)
    await request({ method: 'DELETE', path: '/' })
    barrier.resolve()
    await early.done()
    t.equal((await get('/')).text, 'new')
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'a 304 does not bring back what was invalidated meanwhile (RFC 9111 §4.4)',
  async (t, { get, open, request, origin, clock }) => {
    const barrier = Promise.withResolvers<void>()
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'old' },
      async (wire) => {
        await barrier.promise
        wire.answer({ status: 304, fields })
      },
      { status: 204 },
      { fields: { 'Cache-Control': 'max-age=10', ETag: '"b"' }, body: 'new' },
    )
    await get('/')
    clock.advanceSeconds(10)
    const validating = open({ path: '/' })
    await origin.untilAsked(2)
    await request({ method: 'DELETE', path: '/' })
    barrier.resolve()
    t.equal((await validating.done()).text, 'new')
    t.equal((await get('/')).text, 'new')
  },
)

import { onBoth } from '../support/edge.ts'

const LINK = '</style.css>; rel=preload; as=style'

onBoth(
  '102 and 103 are passed on as they come, before the answer (RFC 9110 §15.2, RFC 8297)',
  async (t, { open, origin }) => {
    const barrier = Promise.withResolvers<void>()
    origin.answers('/', async (wire) => {
      wire.interim(102).interim(103, { Link: LINK, Connection: 'X-Hop', 'X-Hop': '1' })
      await barrier.promise
      wire.answer({ body: 'hello' })
    })
    const exchange = open({ path: '/' })
    await exchange.until(({ interim }) => interim.length === 2)
    t.equal(exchange.status, 0, 'no final answer yet')
    t.same(
      exchange.interim.map(({ status }) => status),
      [102, 103],
    )
    t.equal(exchange.interim[1].fields.get('link'), LINK)
    t.notOk(exchange.interim[1].fields.has('x-hop'))
    barrier.resolve()
    t.equal((await exchange.done()).text, 'hello')
  },
)

onBoth('interim responses are never stored (RFC 9111 §3)', async (t, { get, origin }) => {
  origin.answers('/', (wire) => {
    wire.interim(103, { Link: LINK, 'Cache-Control': 'max-age=600' })
    wire.answer({ fields: { 'Cache-Control': 'max-age=60' }, body: 'hello' })
  })
  t.equal((await get('/')).interim.length, 1)
  const hit = await get('/')
  t.equal(hit.status, 200)
  t.equal(hit.interim.length, 0)
  t.notOk(hit.fields.has('link'))
  t.match(hit.cacheStatus, /^Larder; hit; ttl=60/)
  t.equal(origin.asked(), 1)
})

onBoth(
  'everyone who waits for one answer gets its interim responses (RFC 9110 §15.2)',
  async (t, { open, origin }) => {
    const barrier = Promise.withResolvers<void>()
    origin.answers('/', async (wire) => {
      await barrier.promise
      wire.interim(103, { Link: LINK })
      wire.answer({ fields: { 'Cache-Control': 'max-age=60' }, body: 'hello' })
    })
    const leader = open({ path: '/' })
    await origin.untilAsked(1)
    const follower = open({ path: '/', fields: { 'X-Other': '1' } })
    const third = open({ path: '/' })
    // An answered request on the same connection shows that those before it have been read.
    origin.answers('/beside', {})
    await open({ path: '/beside' }).done()
    barrier.resolve()
    for (const exchange of [leader, follower, third]) {
      await exchange.done()
      t.same(
        exchange.interim.map(({ status }) => status),
        [103],
      )
    }
    t.equal(origin.asked('/'), 1)
  },
)

onBoth(
  'an Expect: 100-continue is met when the body is wanted (RFC 9110 §10.1.1)',
  async (t, { open, origin }) => {
    origin.answers('/', async (wire, posted) => {
      await origin.until(() => posted.whole)
      wire.answer({ status: 201 })
    })
    const fields = { Expect: '100-continue' }
    const answer = open({ method: 'POST', path: '/', fields, body: 'content', holdBody: true })
    await answer.until(({ interim }) => interim.length > 0)
    answer.sendBody()
    t.equal((await answer.done()).status, 201)
    t.same(
      answer.interim.map(({ status }) => status),
      [100],
    )
    t.equal(origin.lastRequest.body.toString(), 'content')
  },
)

onBoth(
  'a 101 that nobody asked for is no answer (RFC 9110 §15.2.2)',
  async (t, { get, origin }) => {
    origin.answers('/', (wire) => wire.interim(101, { Upgrade: 'x', Connection: 'Upgrade' }))
    t.equal((await get('/')).status, 502)
  },
)

onBoth(
  'an endless row of interim responses is cut off (RFC 9110 §15.2)',
  async (t, { get, origin }) => {
    origin.answers('/', (wire) => {
      for (let i = 0; i < 5000 && wire.socket.writable; i++) wire.interim(102)
    })
    t.equal((await get('/')).status, 502)
  },
)

onBoth('trailers are passed on with the answer (RFC 9110 §6.5)', async (t, { get, origin }) => {
  origin.answers('/', (wire) =>
    wire
      .head(200, { 'Transfer-Encoding': 'chunked', Trailer: 'X-Sum' })
      .chunk('hello')
      .lastChunk({ 'X-Sum': '42' }),
  )
  const answer = await get('/', { TE: 'trailers' })
  t.equal(answer.text, 'hello')
  t.equal(answer.trailers.get('x-sum'), '42')
})

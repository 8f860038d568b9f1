import t from 'tap'
import { waitFor } from '../support/larder-process.ts'
import { startPop } from '../support/pop.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'

const options = { skip: withoutRedis, timeout: 60_000 }
const SITE = 'http://pop.test'
const FRESH = { 'cache-control': 'max-age=60' }
const MACHINES = 3

/** Machines that wait for each other for so long. */
const collapsing = (url: string, collapse: string) => ({ redis: { url, collapse, deadline: '1s' } })

t.test('misses of all machines of a PoP are one origin request', options, async (t) => {
  const redis = await startRedis(t)
  const pop = await startPop(t, MACHINES, redis, collapsing(redis.url, '10s'))
  const { origin, clients } = pop
  const barrier = Promise.withResolvers<void>()
  origin.answers('/page', async (wire) => {
    await barrier.promise
    wire.answer({ fields: FRESH, body: 'page' })
  })
  const exchanges = clients.flatMap((client) => [
    client.open({ path: `${SITE}/page` }),
    client.open({ path: `${SITE}/page` }),
  ])
  await origin.untilAsked(1, '/page')
  // The others have asked for the lease and wait.
  await waitFor(async () => /:lease$/m.test(await redis.cli('keys', '*:lease')))
  barrier.resolve()
  for (const exchange of exchanges) t.equal((await exchange.done()).text, 'page')
  t.equal(origin.asked('/page'), 1)
})

t.test('what cannot be shared is waited for once, and then by nobody', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients } = await startPop(t, MACHINES, redis, collapsing(redis.url, '10s'))
  origin.answers('/own', { fields: { 'cache-control': 'no-store' }, body: 'own' })
  const exchanges = clients.map((client) => client.open({ path: `${SITE}/own` }))
  for (const exchange of exchanges) t.equal((await exchange.done()).text, 'own')
  t.equal(origin.asked('/own'), MACHINES)
})

t.test('a fetch that never ends costs the others the time of the lease', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients } = await startPop(t, 2, redis, collapsing(redis.url, '300ms'))
  origin.answers('/slow', () => undefined, { fields: FRESH, body: 'page' })
  const first = clients[0].open({ path: `${SITE}/slow` })
  await origin.untilAsked(1, '/slow')
  const second = await clients[1].open({ path: `${SITE}/slow` }).done()
  t.equal(second.text, 'page')
  t.equal(origin.asked('/slow'), 2)
  first.leave()
})

t.test('an origin that fails is not waited for in a row', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients } = await startPop(t, MACHINES, redis, collapsing(redis.url, '10s'))
  origin.answers('/broken', { status: 503, body: 'no' })
  const exchanges = clients.map((client) => client.open({ path: `${SITE}/broken` }))
  for (const exchange of exchanges) t.equal((await exchange.done()).status, 503)
})

t.test('without Redis nobody waits', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients } = await startPop(t, 2, redis, collapsing(redis.url, '10s'))
  await redis.kill()
  origin.answers('/page', { fields: FRESH, body: 'page' })
  for (const client of clients)
    t.equal((await client.open({ path: `${SITE}/page` }).done()).text, 'page')
  t.equal(origin.asked('/page'), 2)
})

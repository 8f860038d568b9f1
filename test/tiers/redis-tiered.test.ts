import t, { type Test } from 'tap'
import { metadata, NOW } from '../../packages/proxy/src/storage/test-support/stored.ts'
import { TieredStore } from '../../packages/proxy/src/storage/tiered-store.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { bodiesOf, put, startTier } from '../support/redis-tier.ts'

const options = { skip: withoutRedis, timeout: 60_000 }

/** Two tiers, one behind the other; that both are Redis is of no importance to what joins them. */
async function twoTiers(t: Test) {
  const server = await startRedis(t)
  const clock = { ms: NOW }
  const { tier: near } = await startTier(t, { url: server.url, prefix: 'near:' })
  const { tier: far } = await startTier(t, { url: server.url, prefix: 'far:' })
  return { near, far, store: new TieredStore([near, far], () => clock.ms), clock }
}

t.test('what is removed does not come back from a farther tier', options, async (t) => {
  const { near, far, store } = await twoTiers(t)
  for (const tier of [near, far]) {
    await put(tier, { vary: 'x-a', request: [['x-a', '1']] }, 'one')
    await put(tier, { vary: 'x-a', request: [['x-a', '2']] }, 'two')
  }
  const stored = (await store.lookUp('k')).find(
    ({ metadata }) => metadata.variant.values[0] === '1',
  )
  if (stored !== undefined) await store.remove(stored)
  t.same(await bodiesOf(near), ['two'])
  t.same(await bodiesOf(far), ['two'])
  await store.removeKey('k')
  t.same(await bodiesOf(store), [])
})

t.test('of what is stale nearby a farther tier may have something newer', options, async (t) => {
  const { near, far, store, clock } = await twoTiers(t)
  await put(near, {}, 'old')
  await put(far, { responseAt: NOW + 50_000 }, 'new')
  t.same(await bodiesOf(store), ['old'], 'the nearer tier is enough while it is fresh')
  clock.ms = NOW + 61_000
  t.same(await bodiesOf(store), ['new', 'old'], 'the newest first')
})

t.test('what a farther tier has newer stays', options, async (t) => {
  const { near, far, store } = await twoTiers(t)
  await put(near, {}, 'old')
  await put(far, { responseAt: NOW + 1000 }, 'new')
  const [stored] = await store.lookUp('k')
  await store.remove(stored)
  t.same(await bodiesOf(store), ['new'])
})

t.test(
  'what is freshened is freshened in every tier that has it (RFC 9111 §4.3.4)',
  options,
  async (t) => {
    const { near, far, store } = await twoTiers(t)
    for (const tier of [near, far]) await put(tier, {}, 'body')
    const [stored] = await store.lookUp('k')
    await store.freshen(stored, metadata({ responseAt: NOW + 5000 }))
    for (const tier of [near, far]) {
      const [fresh] = await tier.lookUp('k')
      t.equal(fresh.metadata.responseAt, NOW + 5000)
    }
  },
)

t.test(
  'another body in a farther tier is not what was validated (RFC 9111 §4.3.4)',
  options,
  async (t) => {
    const tag = (text: string) => [['etag', text]] as const
    type Listed = readonly (readonly [string, string])[]
    const rows: [newer: Listed, older: Listed, bodies: string[]][] = [
      [tag('"2"'), tag('"1"'), ['new', 'old']],
      [tag('W/"1"'), tag('W/"1"'), ['new', 'old']],
      [[], [], ['new', 'old']],
      [tag('"1"'), tag('"1"'), ['longer', 'short']],
    ]
    const { near, far, store } = await twoTiers(t)
    for (const [index, [newer, older, bodies]] of rows.entries()) {
      const key = `k-${index}`
      await put(near, { key, fields: newer, responseAt: NOW + 1 }, bodies[0])
      await put(far, { key, fields: older }, bodies[1])
      const [stored] = await store.lookUp(key)
      await store.freshen(stored, metadata({ key, fields: newer, responseAt: NOW + 5000 }))
      const [behind] = await far.lookUp(key)
      t.equal(behind.metadata.responseAt, NOW)
      t.same(await bodiesOf(far, key), [bodies[1]])
    }
  },
)

import { PurgeTable } from '@larder/purge-bus'
import t from 'tap'
import { MemoryTier } from '../storage/memory-tier.ts'
import { StoredResponse } from '../storage/stored-response.ts'
import { metadata } from '../storage/test-support/stored.ts'
import { Purges } from './purges.ts'

const resolve = (url: string) => [{ tenant: 'acme', key: `acme\n${url}` }]

function purgesAt(
  clock: { ms: number },
  whenCutOff: 'serve' | 'revalidate' = 'serve',
  isAlone = false,
) {
  const table = new PurgeTable({ resolve })
  return new Purges({ table, whenCutOff, isAlone, now: () => clock.ms })
}

const stored = (key: string, purgeSequence: number) =>
  new StoredResponse({ ...metadata({ key }), tags: ['a'], purgeSequence }, Buffer.from('x'))
const tag = (number: number, soft = false) =>
  ({ number, message: { type: 'tag', tenant: 'acme', tags: ['a'], soft } }) as const

t.test('a judgement is kept until the next purge', async (t) => {
  const purges = purgesAt({ ms: 0 })
  const held = stored('acme\n/a', 0)
  t.ok(purges.isValid(held))
  t.equal(held.judgedVersion, purges.table.version)
  purges.apply([{ number: 1, message: { type: 'tenant', tenant: 'other', soft: false } }])
  t.ok(purges.isValid(held))
  purges.apply([tag(2)])
  t.notOk(purges.isValid(held))
  t.ok(purges.isValid(stored('acme\n/a', 2)))
})

t.test('soft: stale since the purge, whenever it is looked at', async (t) => {
  const clock = { ms: 1_000 }
  const purges = purgesAt(clock)
  const tier = new MemoryTier(1024 * 1024, 1024)
  tier.put(stored('acme\n/a', 0))
  clock.ms = 2_000
  purges.apply([tag(1, true)])
  clock.ms = 3_000
  purges.apply([{ number: 2, message: { type: 'tenant', tenant: 'other', soft: true } }])
  clock.ms = 50_000
  t.notOk(purges.weed(tier, 'acme\n/a'), 'not purged')
  const held = tier.lookUp('acme\n/a')
  t.equal(held?.freshUntilAt, 2_000)
  t.equal(held?.purgeSequence, 2)
  t.ok(held !== null && purges.isValid(held))
  purges.apply([tag(3)])
  t.ok(purges.weed(tier, 'acme\n/a'))
  t.equal(tier.lookUp('acme\n/a'), null)
})

t.test(
  'what was in force before this worker started counts from its start at the latest',
  async (t) => {
    const purges = purgesAt({ ms: 7_000 })
    purges.table.apply([tag(5, true)])
    t.equal(purges.staleMetadata(stored('acme\n/a', 0)).freshUntilAt, 7_000)
  },
)

t.test('nothing but the key is known: any tag may be among its own', async (t) => {
  const purges = purgesAt({ ms: 0 })
  purges.apply([{ number: 1, message: { type: 'tag', tenant: 'other', tags: ['a'], soft: false } }])
  t.notOk(purges.mayCover('acme\n/a', 0))
  purges.apply([tag(2)])
  t.ok(purges.mayCover('acme\n/a', 1))
  t.notOk(purges.mayCover('acme\n/a', 2))
  purges.apply([{ number: 3, message: { type: 'url', urls: ['/a'], soft: false } }])
  t.ok(purges.mayCover('acme\n/a', 2))
  t.notOk(purges.mayCover('acme\n/b', 2))
  purges.apply([{ number: 4, message: { type: 'url', urls: ['/b'], soft: true } }])
  t.ok(purges.mayCover('acme\n/b', 3), 'a soft one, too')
  purges.apply([tag(5, true)])
  t.ok(purges.mayCover('acme\n/c', 4))
})

t.test('waiting for another worker ends when this one is as far, or after a while', async (t) => {
  const purges = purgesAt({ ms: 0 })
  t.equal(purges.whenApplied(0), true)
  const reached = purges.whenApplied(1)
  const never = purges.whenApplied(9)
  purges.apply([tag(1)])
  t.equal(await reached, true)
  t.equal(await never, false)
})

t.test('cut off: by what the primary says, and by its silence', async (t) => {
  for (const whenCutOff of ['serve', 'revalidate'] as const) {
    const purges = purgesAt({ ms: 0 }, whenCutOff)
    t.notOk(purges.isCutOff)
    purges.heard('cut-off', null)
    t.ok(purges.isCutOff)
    t.equal(purges.mustRevalidate, whenCutOff === 'revalidate')
    purges.heard('connected', null)
    t.notOk(purges.isCutOff)
  }
  const silent = purgesAt({ ms: 0 })
  const alone = purgesAt({ ms: 0 }, 'serve', true)
  await new Promise((resolve) => setTimeout(resolve, 2_300))
  t.ok(silent.isCutOff)
  t.notOk(alone.isCutOff)
})

t.test('what other machines have stored is judged by what is known of it here', async (t) => {
  const purges = purgesAt({ ms: 0 })
  const isBeyond = (number: number) => purges.isBeyond(stored('acme\n/a', number))
  purges.apply([tag(1), tag(2)])
  t.ok(isBeyond(2), 'the primary has not said yet whether purges wait for their place')
  purges.heard('connected', null)
  t.notOk(isBeyond(2))
  t.ok(isBeyond(3), 'a purge that it came after may be unknown here')
  purges.apply([{ ...tag(2), number: 2 + 2 ** -16 }])
  purges.apply([tag(3), tag(4)])
  purges.heard('connected', 2)
  t.notOk(isBeyond(2))
  t.ok(isBeyond(3), 'it may be older than the purge that has no place yet')
  purges.apply([tag(5)])
  purges.heard('connected', null)
  t.notOk(isBeyond(5))
})

import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { RedisTier } from '../../packages/proxy/src/storage/redis/redis-tier.ts'
import { waitFor } from '../support/larder-process.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { bodiesOf, bodyOf, distinctBytes, put, startTier } from '../support/redis-tier.ts'

const options = { skip: withoutRedis, timeout: 60_000 }

interface Spoiled {
  readonly tier: RedisTier
  readonly redis: Redis
  /** Name of the hash of heads, and of the one body. */
  readonly heads: string
  readonly body: string
  readonly slot: string
}

/** A tier with one response under 'k'; its body is beside its head when it is longer than 16 KiB. */
async function withStored(t: Test, bytes: Buffer): Promise<Spoiled> {
  const server = await startRedis(t)
  const redis = server.connect(t)
  const { tier } = await startTier(t, { url: server.url })
  await put(tier, {}, bytes)
  const names = (await redis.keys('test:*')).sort()
  const [slot] = await redis.hkeys(names[0])
  return { tier, redis, heads: names[0], body: names[1], slot }
}

t.test('no flipped bit of a head with its body goes unnoticed', options, async (t) => {
  const whole = distinctBytes(300)
  const { tier, redis, heads, slot } = await withStored(t, whole)
  const good = (await redis.hgetBuffer(heads, slot)) ?? Buffer.alloc(0)
  let unnoticed = 0
  let tried = 0
  for (let at = 0; at < good.length; at++) {
    // When the value was made: it orders variants of the same millisecond, no more.
    if (at >= 8 && at < 16) continue
    tried++
    const bad = Buffer.from(good)
    bad[at] ^= 1 << (at % 8)
    await redis.hset(heads, slot, bad)
    if ((await tier.lookUp('k')).length > 0) unnoticed++
    await tier.settled()
  }
  t.equal(unnoticed, 0, `of ${tried} bytes`)
  t.equal(tier.counts.corrupt, tried)
  t.equal(tier.counts.errors, 0)
})

t.test('a head cut anywhere, or with more behind it, is a miss', options, async (t) => {
  const { tier, redis, heads, slot } = await withStored(t, distinctBytes(300))
  const good = (await redis.hgetBuffer(heads, slot)) ?? Buffer.alloc(0)
  let found = 0
  for (let length = 0; length < good.length; length += 7) {
    await redis.hset(heads, slot, good.subarray(0, length))
    found += (await tier.lookUp('k')).length
    await tier.settled()
  }
  await redis.hset(heads, slot, Buffer.concat([good, Buffer.alloc(1)]))
  found += (await tier.lookUp('k')).length
  t.equal(found, 0)
})

t.test('a head of another version, or of another key, is a miss', options, async (t) => {
  const { tier, redis, heads, slot } = await withStored(t, distinctBytes(300))
  const good = (await redis.hgetBuffer(heads, slot)) ?? Buffer.alloc(0)
  const later = Buffer.from(good)
  later.writeUInt32BE(99, 16 + 4)
  await redis.hset(heads, slot, later)
  t.same(await tier.lookUp('k'), [])
  await put(tier, { key: 'other' }, 'other')
  const others = (await redis.keys('test:*')).filter((name) => name !== heads)
  await redis.hset(others[0], slot, good)
  t.same(await tier.lookUp('other'), [])
  t.equal(tier.counts.corrupt, 2)
})

const LENGTH = 200_000
const bodyCases: readonly [name: string, spoil: (spoiled: Spoiled) => Promise<unknown>][] = [
  ['missing', ({ redis, body }) => redis.del(body)],
  ['empty', ({ redis, body }) => redis.set(body, '')],
  ['cut', ({ redis, body }) => redis.set(body, distinctBytes(LENGTH - 1))],
  ['cut at a block', ({ redis, body }) => redis.set(body, distinctBytes(65_536))],
  ['flipped at its start', ({ redis, body }) => redis.setrange(body, 0, 'x')],
  ['flipped at its end', ({ redis, body }) => redis.setrange(body, LENGTH - 1, 'x')],
  ['of another type', ({ redis, body }) => redis.del(body).then(() => redis.lpush(body, 'x'))],
]

for (const [name, spoil] of bodyCases) {
  t.test(`a body that is ${name} is never given out`, options, async (t) => {
    const spoiled = await withStored(t, distinctBytes(LENGTH))
    const { tier } = spoiled
    const [handle] = await tier.lookUp('k')
    await spoil(spoiled)
    await t.rejects(bodyOf(handle), /not what was stored/)
    t.equal(tier.counts.corrupt, 1)
    t.equal(tier.counts.errors, 0)
    await waitFor(async () => (await tier.lookUp('k')).length === 0)
    await put(tier, {}, 'again')
    t.same(await bodiesOf(tier), ['again'], 'and is stored anew')
  })
}

t.test(
  'a key of another type is a miss, and is taken over by the next to store',
  options,
  async (t) => {
    const { tier, redis, heads } = await withStored(t, distinctBytes(300))
    for (let round = 0; round < 10; round++) {
      await redis.del(heads)
      await redis.set(heads, 'not a hash')
      t.same(await tier.lookUp('k'), [])
    }
    t.ok(tier.up, 'and no reason to stop asking')
    t.equal(tier.counts.corrupt, 10)
    await put(tier, {}, 'again')
    t.same(await bodiesOf(tier), ['again'])
    t.ok((await redis.pttl(heads)) > 0)
  },
)

t.test('everything gone at once (FLUSHALL) is a miss', options, async (t) => {
  const { tier, redis } = await withStored(t, distinctBytes(300))
  await redis.flushall()
  t.same(await tier.lookUp('k'), [])
  t.same(tier.counts, { timeouts: 0, errors: 0, skipped: 0, corrupt: 0 })
})

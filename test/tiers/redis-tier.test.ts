import t from 'tap'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { bodiesOf, bodyOf, distinctBytes, put, startTier } from '../support/redis-tier.ts'

const options = { skip: withoutRedis, timeout: 60_000 }

t.test(
  'binary bodies of every length come back byte for byte, and any range of them',
  options,
  async (t) => {
    const server = await startRedis(t)
    const { tier } = await startTier(t, { url: server.url })
    const other = await startTier(t, { url: server.url })
    for (const length of [0, 1, 16_384, 16_385, 65_536, 65_537, 300_000, 1_048_576]) {
      const body = distinctBytes(length)
      await put(tier, { key: `k${length}` }, body)
      const [handle] = await other.tier.lookUp(`k${length}`)
      t.equal(handle.bodyLength, length)
      t.ok((await bodyOf(handle)).equals(body), `${length} bytes`)
      for (const [first, end] of [
        [0, Math.min(1, length)],
        [Math.floor(length / 3), Math.floor(length / 2)],
        [Math.max(0, length - 1), length],
        [length, length],
      ]) {
        t.ok(
          (await bodyOf(handle, first, end)).equals(body.subarray(first, end)),
          `${first}-${end}`,
        )
      }
    }
    t.same(tier.counts, { timeouts: 0, errors: 0, skipped: 0, corrupt: 0 })
  },
)

t.test('a body is read in pieces of at most 256 KiB', options, async (t) => {
  const server = await startRedis(t)
  const { tier } = await startTier(t, { url: server.url })
  await put(tier, {}, distinctBytes(700_000))
  const [handle] = await tier.lookUp('k')
  const read = handle.read(0, 700_000)
  const lengths: number[] = []
  for (let piece = await read.next(); piece !== null; piece = await read.next()) {
    lengths.push(piece.length)
  }
  t.same(lengths, [262_144, 262_144, 175_712])
})

t.test('every name of a key expires when its response is of no more use', options, async (t) => {
  const server = await startRedis(t)
  const redis = server.connect(t)
  const { tier, clock } = await startTier(t, { url: server.url })
  const cases = [
    { key: 'fresh', fields: [], usefulMs: 60_000 },
    { key: 'validatable', fields: [['etag', '"a"']], usefulMs: 60_000 + 3_600_000 },
    {
      key: 'stale',
      fields: [['cache-control', 'stale-while-revalidate=300']],
      usefulMs: 360_000,
    },
  ] as const
  clock.ms += 10_000
  for (const { key, fields, usefulMs } of cases) {
    await put(tier, { key, fields }, distinctBytes(20_000))
    const names = await redis.keys('test:*')
    t.equal(names.length, 2, `${key}: head and body`)
    for (const name of names) {
      const leftMs = await redis.pttl(name)
      t.ok(leftMs <= usefulMs - 10_000 && leftMs > usefulMs - 15_000, `${key}: ${leftMs} ms`)
    }
    await redis.flushall()
  }
})

t.test('the variant that lives longest keeps its key', options, async (t) => {
  const server = await startRedis(t)
  const redis = server.connect(t)
  const { tier } = await startTier(t, { url: server.url })
  await put(tier, { vary: 'x-a', request: [['x-a', '1']], fields: [['etag', '"a"']] }, 'long')
  await put(tier, { vary: 'x-a', request: [['x-a', '2']] }, 'short')
  const [name] = await redis.keys('test:*')
  t.ok((await redis.pttl(name)) > 3_600_000)
})

t.test('what is of no more use is not sent at all', options, async (t) => {
  const server = await startRedis(t)
  const { tier, clock } = await startTier(t, { url: server.url })
  clock.ms += 59_500
  await put(tier, {}, 'hello')
  t.equal(await server.cli('dbsize'), '0')
})

t.test('all names of a key are in one slot of a cluster', options, async (t) => {
  const server = await startRedis(t)
  const redis = server.connect(t)
  const { tier } = await startTier(t, { url: server.url })
  await put(tier, {}, distinctBytes(20_000))
  const tags = (await redis.keys('*')).map((name) => /\{(.*)\}/.exec(name)?.[1])
  t.equal(tags.length, 2)
  t.equal(new Set(tags).size, 1)
})

t.test('a response never takes the place of a newer one', options, async (t) => {
  const server = await startRedis(t)
  const { tier, clock } = await startTier(t, { url: server.url })
  await put(tier, { responseAt: clock.ms + 1 }, 'newer')
  await put(tier, { responseAt: clock.ms }, 'older')
  t.same(await bodiesOf(tier), ['newer'])
  await put(tier, { responseAt: clock.ms + 1 }, 'again')
  t.same(await bodiesOf(tier), ['again'])
})

t.test('a key has at most 64 variants', options, async (t) => {
  const server = await startRedis(t)
  const { tier } = await startTier(t, { url: server.url })
  for (let i = 0; i < 65; i++) {
    await put(tier, { vary: 'x-a', request: [['x-a', `${i}`]] }, `${i}`)
  }
  t.same(await bodiesOf(tier), ['64'], 'the one too many starts the key anew')
})

t.test('freshening a long body sends its head alone and prolongs both', options, async (t) => {
  const server = await startRedis(t)
  const redis = server.connect(t)
  const { tier, clock } = await startTier(t, { url: server.url })
  await put(tier, {}, distinctBytes(500_000))
  const [stored] = await tier.lookUp('k')
  const before = Number(/total_net_input_bytes:(\d+)/.exec(await redis.info())?.[1])
  clock.ms += 30_000
  await tier.freshen(stored, {
    ...stored.metadata,
    responseAt: clock.ms,
    freshUntilAt: clock.ms + 60_000,
  })
  const after = Number(/total_net_input_bytes:(\d+)/.exec(await redis.info())?.[1])
  t.ok(after - before < 10_000, `${after - before} bytes sent`)
  const [fresh] = await tier.lookUp('k')
  t.equal(fresh.metadata.responseAt, clock.ms)
  t.ok((await bodyOf(fresh)).equals(distinctBytes(500_000)))
  for (const name of await redis.keys('test:*')) t.ok((await redis.pttl(name)) > 55_000, name)
})

t.test('what is removed while it is being stored is not there afterwards', options, async (t) => {
  const server = await startRedis(t)
  const { tier } = await startTier(t, { url: server.url })
  for (let round = 0; round < 20; round++) {
    const storing = put(tier, {}, distinctBytes(100_000))
    const removing = tier.removeKey('k')
    await Promise.all([storing, removing])
    t.same(await tier.lookUp('k'), [])
  }
})

t.test('closing writes what was committed', options, async (t) => {
  const server = await startRedis(t)
  const { tier } = await startTier(t, { url: server.url })
  const { tier: other } = await startTier(t, { url: server.url })
  void put(tier, {}, distinctBytes(1_000_000))
  await tier.close()
  const [handle] = await other.lookUp('k')
  t.equal(handle?.bodyLength, 1_000_000)
})

import t, { type Test } from 'tap'
import { startNameServer } from '../../../../test/support/name-server.ts'
import { OriginResolver } from './resolver.ts'

const MINUTE_MS = 60_000

async function setUp(test: Test) {
  const server = await startNameServer(test, ['192.0.2.1'])
  const time = { ms: 1000 }
  const resolver = new OriginResolver({ now: () => time.ms, servers: [server.address] })
  return { server, time, resolver }
}

t.test('a name is asked for once, however many want it, and kept', async (t) => {
  const { server, resolver } = await setUp(t)
  const answers = await Promise.all(Array.from({ length: 40 }, () => resolver.resolve('o.test')))
  for (const answer of answers) t.same(answer, ['192.0.2.1'])
  await resolver.resolve('o.test')
  t.equal(server.queries, 2, 'A and AAAA')
})

t.test('a changed address is used once the known one is half a minute old', async (t) => {
  const { server, time, resolver } = await setUp(t)
  await resolver.resolve('o.test')
  server.answer = ['192.0.2.2']
  time.ms += MINUTE_MS
  t.same(await resolver.resolve('o.test'), ['192.0.2.1'], 'nobody waits for the refresh')
  const asked = await until(
    () => resolver.resolve('o.test'),
    ([address]) => address === '192.0.2.2',
  )
  t.ok(asked)
})

t.test('with the name service gone the last addresses serve for ten minutes', async (t) => {
  const { server, time, resolver } = await setUp(t)
  await resolver.resolve('o.test')
  server.answer = 'failing'
  time.ms += 9 * MINUTE_MS
  t.same(await resolver.resolve('o.test'), ['192.0.2.1'])
  time.ms += 1 * MINUTE_MS + 1
  await t.rejects(resolver.resolve('o.test'), { code: 'ESERVFAIL' })
})

t.test(
  'while refreshing fails it is tried every five seconds, not for every request',
  async (t) => {
    const { server, time, resolver } = await setUp(t)
    await resolver.resolve('o.test')
    server.answer = 'failing'
    time.ms += MINUTE_MS
    const rounds: number[] = []
    for (let round = 0; round < 2; round++) {
      const before = server.queries
      // The one refresh ends when a resolver without memory has been refused, too.
      for (let i = 0; i < 20; i++) await resolver.resolve('o.test')
      await t.rejects(new OriginResolver({ servers: [server.address] }).resolve('o.test'))
      rounds.push(server.queries - before)
      time.ms += 5_000
    }
    const [first, second] = rounds
    t.ok(first <= 8, `${first} queries: A and AAAA, each sent twice, for two`)
    t.equal(second, first)
  },
)

t.test('addresses are not asked for', async (t) => {
  const { server, resolver } = await setUp(t)
  t.same(await resolver.resolve('192.0.2.9'), ['192.0.2.9'])
  t.same(await resolver.resolve('2001:db8::1'), ['2001:db8::1'])
  t.equal(server.queries, 0)
})

t.test('names of this machine are not asked for (RFC 6761 §6.3)', async (t) => {
  const { server, resolver } = await setUp(t)
  t.ok((await resolver.resolve('localhost')).includes('127.0.0.1'))
  t.equal(server.queries, 0)
})

/** Asks again, a turn of the event loop later, until the answer is the one wanted. */
async function until<Value>(
  ask: () => Promise<Value>,
  wanted: (value: Value) => boolean,
): Promise<true> {
  while (!wanted(await ask())) await new Promise((resolve) => setImmediate(resolve))
  return true
}

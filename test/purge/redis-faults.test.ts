import t from 'tap'
import {
  addWorkers,
  type BusUnderTest,
  stored,
  tagPurge,
  waitFor,
} from '../../packages/purge-bus/src/test-support/bus-under-test.ts'
import { filteringLinkTo } from '../support/filtering-link.ts'
import { temporaryFolder } from '../support/larder-process.ts'
import { startWatched } from '../support/redis-deployments.ts'
import { freePort, RedisServer, startRedis, withoutRedis } from '../support/redis-server.ts'
import { slowLinkTo } from '../support/slow-link.ts'
import { connected, startBus } from './redis-buses.ts'

const options = { skip: withoutRedis, timeout: 120_000 }

t.test('a message that pub/sub drops is found in the log', options, async (t) => {
  const server = await startRedis(t)
  const link = await filteringLinkTo(t, server.port)
  const near = await startBus(t, { redis: { url: server.url }, machine: 'near' })
  const far = await startBus(t, { redis: { url: link.url }, machine: 'far' })
  link.drop = (message) => message.includes('test:purge:numbered') && link.dropped === 0
  for (const tag of ['a', 'b']) await near.bus.publish(tagPurge(tag))
  await waitFor(() => far.heard.tags.length === 2)
  t.equal(link.dropped, 1)
  t.same(far.heard.tags, ['a', 'b'], 'in order')

  link.drop = (message) => message.includes('test:purge:numbered')
  await near.bus.publish(tagPurge('last'))
  await waitFor(() => far.heard.tags.length === 3)
  t.ok(link.dropped > 1, 'a heartbeat has found it')
  t.same(far.heard.floors, [])
})

t.test('published through a link that drops what it publishes', options, async (t) => {
  const server = await startRedis(t)
  const link = await filteringLinkTo(t, server.port)
  const far = await startBus(t, { redis: { url: link.url } })
  addWorkers(far, 'w0')
  link.drop = (message) => message.includes('test:purge:numbered')
  t.match(await far.bus.publish(tagPurge('a'), { waitMs: 5_000 }), { state: 'applied', workers: 1 })
})

t.test('Redis killed, back without its data: the machines give it back', options, async (t) => {
  const server = await startRedis(t)
  const at = { redis: { url: server.url } }
  const away = temporaryFolder(t)
  const first = await startBus(t, { ...at, machine: 'm1' })
  const second = await startBus(t, { ...at, machine: 'm2' })
  const third = await startBus(t, { ...at, machine: 'm3', folder: away })
  await first.bus.publish(tagPurge('before'))
  await waitFor(() => third.heard.tags.length === 1)
  await third.bus.stop()
  for (let i = 0; i < 50; i++) await first.bus.publish(tagPurge(`t-${i}`))
  await waitFor(() => second.heard.tags.length === 51)

  await server.kill()
  await server.start()
  await connected(first, second)
  const { number } = await second.bus.publish(tagPurge('after'))
  t.equal(number, 52, 'numbers go on')
  await waitFor(() => first.heard.tags.includes('after'))
  const back = await startBus(t, { ...at, machine: 'm3', folder: away })
  await waitFor(() => back.bus.table.number === 52)
  t.equal(back.bus.table.validity(stored(1, 't-49')), 'purged')
  t.equal(back.bus.table.validity(stored(1, 'other')), 'valid')
  for (const { heard } of [first, second, back]) t.same(heard.floors, [])
})

t.test('Redis killed, back with its data: nothing is missing', options, async (t) => {
  const server = await startRedis(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const at = { redis: { url: server.url } }
  const first = await startBus(t, { ...at, machine: 'm1' })
  const second = await startBus(t, { ...at, machine: 'm2' })
  for (let i = 0; i < 20; i++) await first.bus.publish(tagPurge(`t-${i}`))
  await server.kill()
  const before = first.bus.table.number
  const meanwhile = await first.bus.publish(tagPurge('meanwhile'))
  t.match(meanwhile, { state: 'pending', number: null })
  t.equal(first.bus.table.validity(stored(before, 'meanwhile')), 'purged', 'at once, here')
  await server.start()
  await connected(first, second)
  await waitFor(() => second.heard.tags.includes('meanwhile'))
  await waitFor(() => first.bus.status().pending === 0)
  t.equal((await first.bus.receipt(meanwhile.id))?.number, 21)
  for (const { heard } of [first, second]) t.same(heard.floors, [])
})

t.test(
  'Redis frozen: purges are in force here, and everywhere when it goes on',
  options,
  async (t) => {
    const server = await startRedis(t)
    const at = { redis: { url: server.url } }
    const first = await startBus(t, { ...at, machine: 'm1' })
    const second = await startBus(t, { ...at, machine: 'm2' })
    addWorkers(first, 'w0')
    addWorkers(second, 'w0')
    // The first knows of the second when a heartbeat has told it.
    await waitFor(() => first.bus.status().machines === 2)
    server.pause()
    const receipt = await first.bus.publish(tagPurge('a'), { waitMs: 100 })
    t.match(receipt, { state: 'pending', machines: 1, workers: 1 })
    t.match(receipt.missing, [{ machine: 'm2', worker: null, reason: 'unreachable' }])
    t.equal(first.bus.table.validity(stored(0, 'a')), 'purged')
    await waitFor(() => first.bus.state.kind === 'cut-off' && second.bus.state.kind === 'cut-off')
    const more = await Promise.all(['b', 'c'].map((tag) => first.bus.publish(tagPurge(tag))))
    t.ok(first.bus.status().pending >= 2)
    server.resume()
    await waitFor(() => ['a', 'b', 'c'].every((tag) => second.heard.tags.includes(tag)))
    await waitFor(async () => {
      const later = await Promise.all(more.map(({ id }) => first.bus.receipt(id)))
      return later.every((it) => it?.state === 'applied' && it.machines === 2)
    })
    await connected(first, second)
    await waitFor(() => first.bus.status().pending === 0)
    t.ok(first.heard.states.includes('cut-off'))
    t.equal(first.heard.states.at(-1), 'connected')
  },
)

t.test(
  'a partition: what either side has purged is purged on both sides after it',
  options,
  async (t) => {
    const server = await startRedis(t)
    const link = await slowLinkTo(t, server.port)
    const near = await startBus(t, { redis: { url: server.url }, machine: 'near' })
    const far = await startBus(t, { redis: { url: link.url }, machine: 'far' })
    await near.bus.publish(tagPurge('zero'))
    await waitFor(() => far.bus.table.number === 1)
    link.close()
    const kept = await far.bus.publish(tagPurge('far'))
    t.equal(kept.state, 'pending')
    const stamp = far.bus.table.number
    t.equal(far.bus.table.validity(stored(stamp, 'far')), 'valid', 'fetched after it')
    await near.bus.publish(tagPurge('near'))
    await waitFor(() => far.bus.state.kind === 'cut-off')
    t.equal(far.bus.table.validity(stored(stamp, 'near')), 'valid', 'it cannot know')
    await link.listen()
    await connected(far)
    t.equal(far.bus.table.validity(stored(stamp, 'near')), 'purged', 'before it says connected')
    await waitFor(() => near.heard.tags.includes('far'))
    t.equal(near.bus.table.validity(stored(2, 'far')), 'purged')
    t.same([near.heard.floors, far.heard.floors], [[], []])
  },
)

t.test('what waits for Redis survives the end of the machine', options, async (t) => {
  const server = await startRedis(t)
  const folder = temporaryFolder(t)
  const first = await startBus(t, { redis: { url: server.url }, folder })
  await first.bus.publish(tagPurge('a'))
  await server.kill()
  const kept = await first.bus.publish(tagPurge('b', { reference: 'once' }))
  const again = await first.bus.publish(tagPurge('b', { reference: 'once' }))
  t.equal(again.id, kept.id)
  await first.bus.stop()
  const second = await startBus(t, { redis: { url: server.url }, folder })
  t.equal(second.bus.state.kind, 'cut-off')
  t.equal(second.bus.status().pending, 1)
  t.equal(second.bus.table.validity(stored(1, 'b')), 'purged', 'in force before Redis is back')
  await server.start()
  await connected(second)
  await waitFor(() => second.bus.status().pending === 0)
  t.equal((await second.bus.receipt(kept.id))?.number, 2)
})

t.test('too many wait: the oldest are put aside, listed, and replayed', options, async (t) => {
  const server = await startRedis(t)
  const limits = { maxPending: 5, maxDeadLetters: 3 }
  const { bus, heard } = await startBus(t, { redis: { url: server.url }, ...limits })
  const other = await startBus(t, { redis: { url: server.url }, machine: 'm2' })
  await server.kill()
  const receipts = []
  for (let i = 0; i < 8; i++) receipts.push(await bus.publish(tagPurge(`t-${i}`)))
  await t.rejects(bus.publish(tagPurge('one more')), { code: 'PURGE_OVERLOAD' })
  t.match(bus.status(), { pending: 5, deadLetters: 3 })
  t.same(
    bus.deadLetters().map(({ message }) => message),
    ['t-0', 't-1', 't-2'].map((tag) => tagPurge(tag)),
  )
  t.equal((await bus.receipt(receipts[0].id))?.state, 'dead-letter')
  await server.start()
  await waitFor(() => other.heard.tags.length === 5)
  t.equal(bus.status().deadLetters, 3, 'they wait for someone')
  t.equal(await bus.replayDeadLetters([bus.deadLetters()[1].id]), 1)
  await waitFor(() => other.heard.tags.includes('t-1'))
  t.equal(await bus.replayDeadLetters(), 2)
  await waitFor(() => other.heard.tags.length === 8)
  t.equal(bus.status().deadLetters, 0)
  t.ok(heard.tags.length >= 8)
})

t.test('a purge that waits too long is put aside', options, async (t) => {
  const server = await startRedis(t)
  const clock = { ms: Date.now() }
  const limits = { maxPendingAgeMs: 60_000, now: () => clock.ms }
  const { bus, heard } = await startBus(t, { redis: { url: server.url }, ...limits })
  await server.kill()
  await bus.publish(tagPurge('a'))
  clock.ms += 61_000
  await waitFor(() => bus.status().deadLetters === 1)
  t.ok(heard.errors.some(({ reason }) => /became dead letters/.test(reason)))
})

t.test('the log no longer reaches back: everything older counts as purged', options, async (t) => {
  const server = await startRedis(t)
  const folder = temporaryFolder(t)
  const at = { redis: { url: server.url }, maxLog: 100 }
  const first = await startBus(t, { ...at, machine: 'm1' })
  const second = await startBus(t, { ...at, machine: 'm2', folder })
  await first.bus.publish(tagPurge('a'))
  await waitFor(() => second.bus.table.number === 1)
  await second.bus.stop()
  const many = Array.from({ length: 1_000 }, (_, i) => first.bus.publish(tagPurge(`t-${i}`)))
  await Promise.all(many)
  await waitFor(() => first.bus.table.number === 1_001)
  const back = await startBus(t, { ...at, machine: 'm2', folder })
  t.equal(back.bus.table.number, 1_001)
  t.equal(back.heard.floors.length, 1)
  t.match(back.heard.floors[0].reason, /begins at \d+ only: everything stored before/)
  t.equal(back.bus.table.validity(stored(1, 'untouched')), 'purged')
  t.equal(back.bus.table.validity(stored(1_001, 't-999')), 'valid')
  t.same(first.heard.floors, [])
})

t.test(
  'FLUSHALL and SCRIPT FLUSH: nothing is lost, nothing is purged without need',
  options,
  async (t) => {
    const server = await startRedis(t)
    const at = { redis: { url: server.url } }
    const all: BusUnderTest[] = []
    for (const machine of ['m1', 'm2', 'm3']) all.push(await startBus(t, { ...at, machine }))
    const [first, second] = all
    for (let i = 0; i < 30; i++) await first.bus.publish(tagPurge(`t-${i}`))
    await waitFor(() => all.every(({ heard }) => heard.tags.length === 30))
    await server.cli('script', 'flush')
    await first.bus.publish(tagPurge('scripts'))
    await server.cli('flushall')
    const receipt = await second.bus.publish(tagPurge('flushed'), { waitMs: 10_000 })
    t.equal(receipt.state, 'applied')
    await waitFor(() => all.every(({ heard }) => heard.tags.includes('flushed')))
    await connected(...all)
    for (const { heard, bus } of all) {
      t.same(heard.floors, [])
      t.ok(bus.table.number >= 32)
    }
    t.ok(Number(await server.cli('xlen', '{test:purge}:log')) >= 32, 'the log is there again')
  },
)

t.test('what was scheduled outlives the loss of all data', options, async (t) => {
  const server = await startRedis(t)
  const { bus, heard } = await startBus(t, { redis: { url: server.url } })
  const at = Date.now() + 2_500
  const receipt = await bus.publish(tagPurge('soon', { at }))
  await server.cli('flushall')
  t.equal(await server.cli('exists', '{test:purge}:due'), '0')
  await waitFor(() => heard.tags.includes('soon'))
  t.ok(Date.now() >= at, 'not before its time')
  t.ok(((await bus.receipt(receipt.id))?.number ?? 0) > 0)
})

t.test('numbers that were given twice: no purge of either history is lost', options, async (t) => {
  const server = await startRedis(t)
  const link = await slowLinkTo(t, server.port)
  const far = await startBus(t, { redis: { url: link.url }, machine: 'far' })
  for (let i = 0; i < 20; i++) await far.bus.publish(tagPurge(`old-${i}`))
  await waitFor(() => far.bus.table.number === 20)
  link.close()
  await waitFor(() => far.bus.state.kind === 'cut-off')
  await server.cli('flushall')
  // A machine that knows nothing of the former history numbers from 1 again.
  const fresh = await startBus(t, { redis: { url: server.url }, machine: 'fresh' })
  for (let i = 0; i < 10; i++) await fresh.bus.publish(tagPurge(`new-${i}`))
  await waitFor(() => fresh.bus.table.number === 10)
  await link.listen()
  await connected(far)
  t.equal(far.bus.table.validity(stored(20, 'anything')), 'purged', 'it missed something')
  t.match(far.heard.floors[0].reason, /lost purges that this machine had/)
  await waitFor(() => fresh.heard.tags.includes('old-19'))
  t.equal(fresh.bus.table.validity(stored(10, 'old-0')), 'purged')
  t.equal(fresh.bus.table.validity(stored(10, 'other')), 'valid')
  const { number } = await fresh.bus.publish(tagPurge('both'))
  t.ok((number ?? 0) > 20, `number ${number}`)
  await waitFor(() => far.heard.tags.includes('both'))
})

t.test('Sentinel: a failover loses nothing that a machine has heard', options, async (t) => {
  const { master, replica, sentinel } = await startWatched(t)
  const redis = { sentinels: [sentinel.url], sentinelName: 'hot' }
  const first = await startBus(t, { redis, machine: 'm1' })
  const second = await startBus(t, { redis, machine: 'm2' })
  await first.bus.publish(tagPurge('before'))
  await waitFor(async () => (await replica.cli('xlen', '{test:purge}:log')) === '1')
  // From here on the replica hears nothing more of its master.
  await replica.cli('config', 'set', 'masterauth', 'wrong')
  await master.cli('client', 'kill', 'type', 'replica')
  for (let i = 0; i < 10; i++) await first.bus.publish(tagPurge(`t-${i}`))
  await waitFor(() => second.heard.tags.length === 11)
  t.equal(await replica.cli('xlen', '{test:purge}:log'), '1', 'the replica lags behind')
  await master.kill()
  const meanwhile = await second.bus.publish(tagPurge('meanwhile'))
  t.ok(['pending', 'waiting', 'applied'].includes(meanwhile.state))
  await waitFor(async () => (await replica.cli('role')).startsWith('master'), 40_000)
  await waitFor(() => first.heard.tags.includes('meanwhile'), 20_000)
  await connected(first, second)
  t.ok(Number(await replica.cli('xlen', '{test:purge}:log')) >= 12, 'the new master has them all')
  const { number } = await first.bus.publish(tagPurge('after'))
  t.ok((number ?? 0) >= 13)
  for (const { heard } of [first, second]) t.same(heard.floors, [])
})

t.test(
  'a Redis that has never been there: the machine knows that it is cut off',
  options,
  async (t) => {
    const port = await freePort()
    const redis = { url: `redis://127.0.0.1:${port}` }
    const under = await startBus(t, { redis })
    t.equal(under.bus.state.kind, 'cut-off')
    addWorkers(under, 'w0')
    const before = under.bus.table.number
    t.equal((await under.bus.publish(tagPurge('a'))).state, 'pending')
    t.equal(under.bus.table.validity(stored(before, 'a')), 'purged')
    const server = new RedisServer(port, temporaryFolder(t), [])
    t.teardown(() => server.kill())
    await server.start()
    await connected(under)
    await waitFor(() => under.bus.status().pending === 0)
    t.equal(await server.cli('xlen', '{test:purge}:log'), '1')
  },
)

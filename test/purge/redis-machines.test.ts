import t from 'tap'
import {
  addWorkers,
  tagPurge,
  waitFor,
} from '../../packages/purge-bus/src/test-support/bus-under-test.ts'
import { temporaryFolder } from '../support/larder-process.ts'
import { startCluster } from '../support/redis-deployments.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { startMachine } from './machines.ts'
import { connected, startBus } from './redis-buses.ts'

const options = { skip: withoutRedis, timeout: 120_000 }

t.test('a message of redis-cli is numbered once, however many hear it', options, async (t) => {
  const server = await startRedis(t)
  const names = ['m1', 'm2', 'm3']
  const machines = await Promise.all(names.map((name) => startMachine(t, server.url, name)))
  const cli = server.connect(t)
  const tags = Array.from({ length: 100 }, (_, i) => `t-${i}`)
  for (const tag of tags) {
    await cli.publish('test:purge', `soft tag acme ${tag}`)
  }
  await waitFor(async () => (await machines[0].report()).tags.length >= tags.length)
  await cli.publish('test:purge', JSON.stringify(tagPurge('last')))
  for (const machine of machines) {
    await waitFor(async () => (await machine.report()).tags.includes('last'))
    const { tags: heard, numbers, errors } = await machine.report()
    t.same([...heard].sort(), [...tags, 'last'].sort())
    t.same(
      numbers,
      Array.from({ length: 101 }, (_, i) => i + 1),
    )
    t.same(errors, [])
  }
})

t.test('the same message again is another purge', options, async (t) => {
  const server = await startRedis(t)
  const names = ['m1', 'm2', 'm3']
  const machines = await Promise.all(names.map((name) => startMachine(t, server.url, name)))
  const cli = server.connect(t)
  for (let round = 1; round <= 10; round++) {
    await cli.publish('test:purge', 'tag acme same')
    for (const machine of machines) {
      await waitFor(async () => (await machine.report()).tags.length >= round)
    }
  }
  for (const machine of machines) t.equal((await machine.report()).tags.length, 10)
})

t.test(
  'published again before it was numbered, it is in force all the same',
  options,
  async (t) => {
    const server = await startRedis(t)
    const names = ['m1', 'm2']
    const machines = await Promise.all(names.map((name) => startMachine(t, server.url, name)))
    const cli = server.connect(t)
    await Promise.all(Array.from({ length: 50 }, () => cli.publish('test:purge', 'tag acme same')))
    await cli.publish('test:purge', 'tag acme last')
    for (const machine of machines) {
      await waitFor(async () => (await machine.report()).tags.at(-1) === 'last')
      const { tags } = await machine.report()
      t.ok(tags.length >= 2 && tags.length <= 51, `${tags.length} numbers for 51 messages`)
    }
  },
)

t.test('a message that is not understood: nothing changes, one complaint', options, async (t) => {
  const server = await startRedis(t)
  const names = ['m1', 'm2', 'm3']
  const machines = await Promise.all(names.map((name) => startMachine(t, server.url, name)))
  const complaints: string[] = []
  const listener = server.connect(t)
  listener.on('message', (_, text) => complaints.push(text))
  await listener.subscribe('test:purge:errors')
  const cli = server.connect(t)
  await cli.publish('test:purge', 'purge everything, please')
  await cli.publish('test:purge', 'tag acme after')
  for (const machine of machines) {
    await waitFor(async () => (await machine.report()).tags.includes('after'))
    const { numbers, errors } = await machine.report()
    t.same(numbers, [1])
    t.match(errors, [/'purge' is no kind of purge/])
  }
  await waitFor(() => complaints.length > 0)
  await cli.publish('test:purge:errors', 'the end')
  await waitFor(() => complaints.includes('the end'))
  t.equal(complaints.length, 2, 'one complaint, and the end')
  t.match(JSON.parse(complaints[0]), { message: 'purge everything, please', reason: /no kind/ })
})

t.test('a receipt counts the workers of all machines, and names the dead', options, async (t) => {
  const server = await startRedis(t)
  const folder = temporaryFolder(t)
  const own = await startBus(t, { redis: { url: server.url }, machine: 'own' })
  addWorkers(own, 'w0', 'w1')
  const other = await startMachine(t, server.url, 'other', folder)
  await waitFor(() => own.bus.status().machines === 2)
  await waitFor(
    async () => (await own.bus.publish(tagPurge('warm'), { waitMs: 5_000 })).workers === 3,
  )
  const receipt = await own.bus.publish(tagPurge('a'), { waitMs: 5_000 })
  t.match(receipt, { state: 'applied', machines: 2, workers: 3, missing: [] })
  t.ok((receipt.slowestMs ?? 9999) < 5_000, `slowest ${receipt.slowestMs} ms`)

  other.pause()
  const late = await own.bus.publish(tagPurge('b'), { waitMs: 200 })
  t.match(late, { state: 'waiting', missing: [{ machine: 'other', worker: 'w0', reason: 'late' }] })
  const dead = await own.bus.publish(tagPurge('c'), { waitMs: 20_000 })
  t.match(dead, { machines: 1, missing: [{ machine: 'other', worker: null, reason: 'dead' }] })
  other.resume()
  await waitFor(async () => (await own.bus.receipt(late.id))?.workers === 3)
  t.match(await own.bus.receipt(late.id), { state: 'applied', machines: 2, missing: [] })
  await other.kill()
})

t.test('a machine that was killed knows everything when it is back', options, async (t) => {
  const server = await startRedis(t)
  const folder = temporaryFolder(t)
  const own = await startBus(t, { redis: { url: server.url }, machine: 'own' })
  const first = await startMachine(t, server.url, 'other', folder)
  await own.bus.publish(tagPurge('a'))
  await waitFor(async () => (await first.report()).tags.includes('a'))
  await first.kill()
  for (let i = 0; i < 600; i++) void own.bus.publish(tagPurge(`t-${i}`))
  await waitFor(() => own.heard.tags.length === 601)
  const second = await startMachine(t, server.url, 'other', folder)
  await waitFor(async () => (await second.report()).tags.length >= 600)
  const { tags, numbers, floors } = await second.report()
  t.ok(tags.length <= 601, 'what it had heard last may not have been on its disk yet')
  t.equal(numbers.at(-1), 601)
  t.same(floors, [])
})

t.test('in a cluster too, whichever node it is published at', options, async (t) => {
  const servers = await startCluster(t)
  const redis = { cluster: servers.map(({ url }) => url) }
  const first = await startBus(t, { redis, machine: 'm1' })
  const second = await startBus(t, { redis, machine: 'm2' })
  const tags = Array.from({ length: 60 }, (_, i) => `t-${i}`)
  for (const [i, tag] of tags.entries()) {
    await servers[i % 3].cli('publish', 'test:purge', `tag acme ${tag}`)
  }
  for (const { bus, heard } of [first, second]) {
    await waitFor(() => heard.tags.length >= tags.length)
    t.same([...heard.tags].sort(), [...tags].sort())
    t.equal(bus.table.number, tags.length)
  }
})

t.test('a cluster whose node of the log dies: cut off, and nothing lost', options, async (t) => {
  const servers = await startCluster(t)
  const redis = { cluster: servers.map(({ url }) => url) }
  const first = await startBus(t, { redis, machine: 'm1' })
  const second = await startBus(t, { redis, machine: 'm2' })
  for (let i = 0; i < 5; i++) await first.bus.publish(tagPurge(`t-${i}`))
  await waitFor(() => second.heard.tags.length === 5)
  const slot = Number(await servers[0].cli('cluster', 'keyslot', '{test:purge}:log'))
  const [node] = servers.filter((_, i) => slot >= i * 5461 && slot < (i + 1) * 5461 + 1)
  await node.kill()
  const kept = await first.bus.publish(tagPurge('meanwhile'))
  t.equal(kept.state, 'pending')
  await waitFor(() => second.bus.state.kind === 'cut-off')
  await node.start()
  await connected(first, second)
  await waitFor(() => second.heard.tags.includes('meanwhile'))
  const { number } = await second.bus.publish(tagPurge('after'))
  t.ok((number ?? 0) >= 7, `number ${number}`)
  for (const { heard } of [first, second]) t.same(heard.floors, [])
})

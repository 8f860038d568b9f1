import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { KeyRing } from '@larder/certs'
import { ChallengeBook } from '@larder/certs/acme'
import { ChallengeRegistry } from '@larder/certs/challenges'
import t, { type Test } from 'tap'
import { createLogger } from '../../packages/proxy/src/observability/logger.ts'
import {
  connectRedis,
  type RedisClient,
  type RedisPlace,
} from '../../packages/proxy/src/storage/redis/redis-client.ts'
import { RedisBoard } from '../../packages/proxy/src/supervisor/acme/redis-board.ts'
import { RedisLease } from '../../packages/proxy/src/supervisor/acme/redis-lease.ts'
import { RedisStore } from '../../packages/proxy/src/supervisor/certificates/redis-store.ts'
import { acmeMachine, startChallengeServers } from '../support/acme-machine.ts'
import { FolderVault } from '../support/folder-vault.ts'
import { temporaryFolder, waitFor } from '../support/larder-process.ts'
import { startPebble, withoutPebble } from '../support/pebble.ts'
import { type RedisServer, startRedis, withoutRedis } from '../support/redis-server.ts'

const options = { skip: withoutPebble || withoutRedis }

function placeOf(redis: RedisServer): RedisPlace {
  const place = { url: redis.url, cluster: [], sentinels: [], sentinelName: undefined }
  return { ...place, username: undefined, password: undefined, caPem: undefined }
}

async function connect(t: Test, redis: RedisServer): Promise<RedisClient> {
  const client = connectRedis(placeOf(redis), () => {})
  t.teardown(() => client.disconnect())
  if (client.status !== 'ready') await once(client, 'ready')
  return client
}

/** `troubles`: what goes wrong with it. */
async function boardOf(
  t: Test,
  redis: RedisServer,
  registry: ChallengeRegistry,
  troubles: unknown[],
) {
  const board = new RedisBoard({
    redis: await connect(t, redis),
    subscriber: await connect(t, redis),
    prefix: 'larder:',
    book: new ChallengeBook({ tell: async (answers) => registry.replaceAll(answers) }),
    onError: (error) => troubles.push(error),
  })
  board.start()
  t.teardown(() => board.stop())
  return board
}

/** All machines hear what is published from now on. */
async function isHeardBy(redis: RedisServer, machines: number): Promise<void> {
  await waitFor(async () => {
    const [, count] = (await redis.cli('pubsub', 'numsub', 'larder:acme:challenges')).split('\n')
    return Number(count) === machines
  })
}

for (const kind of ['http-01', 'tls-alpn-01'] as const) {
  t.test(
    `of two machines one orders, and the other answers for it by ${kind}`,
    options,
    async (t) => {
      const redis = await startRedis(t)
      // The authority looks at the second machine alone.
      const servers = await startChallengeServers(t)
      const pebble = await startPebble(t, servers)
      const folder = temporaryFolder(t)
      const troubles: unknown[] = []
      const machines = []
      for (const registry of [new ChallengeRegistry(), servers.registry]) {
        machines.push(
          acmeMachine(t, pebble, {
            challenges: [kind],
            board: await boardOf(t, redis, registry, troubles),
            lease: new RedisLease(await connect(t, redis), 'larder:'),
            vault: new FolderVault(folder),
          }),
        )
      }
      await isHeardBy(redis, 2)
      const [first, second] = machines
      await first.renewer.tick()
      await second.renewer.tick()
      t.match(first.events.at(-1), { kind: 'issued' }, JSON.stringify(first.events))
      t.same(second.events, [])
      t.equal(pebble.asked('new-order'), 1)
      t.equal((await second.vault.current('site'))?.version, 1)
      t.ok(second.renewer.status()[0].notAfterAt, 'the second knows what the first has brought')
      await waitFor(() => !servers.registry.hasTokens && !servers.registry.hasChallenges())
      t.same(troubles, [])
    },
  )
}

t.test('two machines at the same instant: one order', options, async (t) => {
  const redis = await startRedis(t)
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, servers)
  const folder = temporaryFolder(t)
  const troubles: unknown[] = []
  const machines = []
  for (let i = 0; i < 2; i++) {
    machines.push(
      acmeMachine(t, pebble, {
        board: await boardOf(t, redis, servers.registry, troubles),
        lease: new RedisLease(await connect(t, redis), 'larder:'),
        vault: new FolderVault(folder),
      }),
    )
  }
  await isHeardBy(redis, 2)
  for (let round = 0; round < 2; round++) {
    await Promise.all(machines.map(({ renewer }) => renewer.tick()))
    for (const { clock } of machines) clock.ms += 60_000
  }
  t.equal(pebble.asked('new-order'), 1)
  t.equal(
    machines.flatMap(({ events }) => events.filter(({ kind }) => kind === 'issued')).length,
    1,
  )
  for (const { renewer } of machines) t.ok(renewer.status()[0].notAfterAt)
  t.same(troubles, [])
})

t.test('after a failure no machine tries before its time', options, async (t) => {
  const redis = await startRedis(t)
  const pebble = await startPebble(t)
  const lease = async () => new RedisLease(await connect(t, redis), 'larder:')
  const first = acmeMachine(t, pebble, { lease: await lease() })
  const second = acmeMachine(t, pebble, { lease: await lease() })
  await first.renewer.tick()
  t.match(first.events.at(-1), { kind: 'failed', failures: 1 })
  await second.renewer.tick()
  t.same(second.events, [])
  t.equal(pebble.asked('new-order'), 1)
  // Other names are another matter.
  second.renewer.setTargets([{ id: 'site', names: ['other.test'] }])
  await second.renewer.tick()
  t.match(second.events.at(-1), { kind: 'failed', failures: 2 })
})

t.test(
  "a lease that has run out is the next one's, and its former holder commits nothing",
  {
    skip: withoutRedis,
  },
  async (t) => {
    const redis = await startRedis(t)
    const client = await connect(t, redis)
    const slow = await new RedisLease(client, 'larder:', 50).take('site')
    if (slow.kind !== 'held') throw new Error('it is busy')
    const other = new RedisLease(await connect(t, redis), 'larder:')
    t.match(await other.take('another'), { kind: 'held' }, 'each certificate has its own')
    let next = await other.take('site')
    await waitFor(async () => {
      if (next.kind === 'busy') next = await other.take('site')
      return next.kind === 'held'
    })
    if (next.kind !== 'held') throw new Error('it is busy')
    t.ok(next.lease.fence > slow.lease.fence)
    t.equal(await slow.lease.extend(), false)
    await slow.lease.release(0, 0)
    t.match(await other.take('site'), { kind: 'busy' }, 'it cannot give back what is not its own')
    t.equal(await next.lease.extend(), true)
    const store = new RedisStore({
      place: placeOf(redis),
      prefix: 'larder:',
      keys: new KeyRing([randomBytes(32)]),
      copiesFolder: temporaryFolder(t),
      logger: createLogger({ level: 'fatal' }),
    })
    t.teardown(() => store.stop())
    await store.start(() => {})
    const version = await store.put('site', ['a.test'], [], next.lease.fence)
    await t.rejects(store.put('site', ['a.test'], [], slow.lease.fence), /another renewal began/)
    t.match(await store.read('site'), { version }, 'what the later holder has brought stays')
    await next.lease.release(3, 0)
    t.match(await other.take('site'), { kind: 'held', lease: { failures: 3 } })
  },
)

t.test('without Redis nothing is ordered, and it is tried again', options, async (t) => {
  const redis = await startRedis(t)
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, servers)
  const lease = new RedisLease(await connect(t, redis), 'larder:')
  const machine = acmeMachine(t, pebble, { ...servers, lease })
  await redis.kill()
  await machine.renewer.tick()
  t.match(machine.events, [{ kind: 'failed' }])
  t.equal(pebble.asked('new-order'), 0)
  await redis.start()
  await waitFor(async () => {
    machine.clock.ms += 20 * 60_000
    await machine.renewer.tick()
    return machine.events.at(-1)?.kind === 'issued'
  })
})

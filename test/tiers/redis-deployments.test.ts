import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DevelopmentAuthority } from '@larder/certs'
import t from 'tap'
import { temporaryFolder, waitFor } from '../support/larder-process.ts'
import { startCluster, startWatched } from '../support/redis-deployments.ts'
import { freePort, startRedis, withoutRedis } from '../support/redis-server.ts'
import { bodiesOf, bodyOf, distinctBytes, makeTier, put, startTier } from '../support/redis-tier.ts'

const options = { skip: withoutRedis, timeout: 90_000 }
const BACK_WITHIN_MS = 5_000

t.test(
  'a cluster of three masters: every key on its node, long bodies beside their heads',
  options,
  async (t) => {
    const servers = await startCluster(t)
    const { tier } = await startTier(t, { cluster: servers.map(({ url }) => url) })
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key, i) => put(tier, { key }, distinctBytes(1000 * i))))
    const { tier: other } = await startTier(t, { cluster: [servers[0].url] })
    for (const [i, key] of keys.entries()) {
      const [handle] = await other.lookUp(key)
      t.ok((await bodyOf(handle)).equals(distinctBytes(1000 * i)), key)
    }
    for (const server of servers) t.ok(Number(await server.cli('dbsize')) > 5)
    await Promise.all(keys.map((key) => other.removeKey(key)))
    t.same((await Promise.all(keys.map((key) => tier.lookUp(key)))).flat(), [])
    t.same(tier.counts, { timeouts: 0, errors: 0, skipped: 0, corrupt: 0 })
  },
)

t.test('a cluster with one master gone: the keys of the others are found', options, async (t) => {
  const servers = await startCluster(t)
  const { tier } = await startTier(t, { cluster: servers.map(({ url }) => url), deadlineMs: 25 })
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
  for (const key of keys) await put(tier, { key }, key)
  const found = async () => {
    let hits = 0
    for (const key of keys) hits += (await tier.lookUp(key)).length
    return hits
  }
  t.equal(await found(), 60)
  const lost = Number(await servers[2].cli('dbsize'))
  await servers[2].kill()
  await waitFor(async () => (await found()) === 60 - lost, BACK_WITHIN_MS)
  const from = performance.now()
  for (const key of keys) await tier.lookUp(key)
  t.ok(performance.now() - from < 2_000, 'and the lost ones cost next to nothing')
})

t.test(
  'Sentinel: the master that it names, and the new one after a failover',
  options,
  async (t) => {
    const { master, replica, sentinel } = await startWatched(t)
    const { tier } = await startTier(t, { sentinels: [sentinel.url], sentinelName: 'hot' })
    await put(tier, {}, 'hello')
    t.same(await bodiesOf(tier), ['hello'])
    await waitFor(async () => (await replica.cli('dbsize')) === '1')

    await master.kill()
    await waitFor(async () => (await replica.cli('role')).startsWith('master'), 30_000)
    const promotedAt = performance.now()
    await waitFor(async () => (await bodiesOf(tier)).length > 0, BACK_WITHIN_MS)
    t.pass(`found on the new master ${Math.round(performance.now() - promotedAt)} ms after`)
    await waitFor(async () => {
      await put(tier, { key: 'new' }, 'new')
      return (await tier.lookUp('new')).length > 0
    }, BACK_WITHIN_MS)
  },
)

t.test(
  'TLS, and a user of an access control list with no more rights than it needs',
  options,
  async (t) => {
    const folder = temporaryFolder(t)
    const authority = new DevelopmentAuthority(folder)
    await authority.certificateFor('redis', ['redis.test'])
    const tlsPort = await freePort()
    const server = await startRedis(t, [
      ...['--tls-port', `${tlsPort}`, '--tls-auth-clients', 'no'],
      ...[
        '--tls-cert-file',
        join(folder, 'redis.crt'),
        '--tls-key-file',
        join(folder, 'redis.key'),
      ],
      ...['--tls-ca-cert-file', authority.certificateFile],
    ])
    const rights = ['~test:*', '+@connection', '+info', '+hgetall', '+getrange', '+set', '+del']
    const forScript = ['+eval', '+type', '+hget', '+hset', '+hdel', '+hlen', '+pttl', '+pexpire']
    await server.cli('acl', 'setuser', 'larder', 'on', '>sesame', ...rights, ...forScript)
    await server.cli('acl', 'setuser', 'default', 'off')
    const user = { username: 'larder', password: 'sesame' }
    const url = `rediss://127.0.0.1:${tlsPort}`

    const trusting = await startTier(t, {
      ...user,
      url,
      caPem: readFileSync(authority.certificateFile, 'utf8'),
    })
    await put(trusting.tier, {}, distinctBytes(400_000))
    const [stored] = await trusting.tier.lookUp('k')
    t.ok((await bodyOf(stored)).equals(distinctBytes(400_000)))
    await trusting.tier.freshen(stored, {
      ...stored.metadata,
      responseAt: stored.metadata.responseAt + 1,
    })
    await trusting.tier.removeKey('k')
    t.same(await trusting.tier.lookUp('k'), [])
    t.same(trusting.tier.counts, { timeouts: 0, errors: 0, skipped: 0, corrupt: 0 })

    const wary = makeTier(t, { ...user, url })
    await waitFor(() => wary.errors.length > 0)
    t.match(wary.errors[0].message, /certificate/, 'an unknown authority is refused')
    t.same(await wary.tier.lookUp('k'), [])
  },
)

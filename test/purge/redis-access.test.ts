import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DevelopmentAuthority } from '@larder/certs'
import t from 'tap'
import {
  addWorkers,
  tagPurge,
  waitFor,
} from '../../packages/purge-bus/src/test-support/bus-under-test.ts'
import { temporaryFolder } from '../support/larder-process.ts'
import { freePort, startRedis, withoutRedis } from '../support/redis-server.ts'
import { startBus } from './redis-buses.ts'

/** As docs/decisions/purge-sequence.md lists them. */
const RIGHTS = [
  ...['~{test:purge}:*', '&test:purge*', '+@connection', '+info', '+time', '+eval', '+evalsha'],
  ...['+hmget', '+hset', '+hget', '+hgetall', '+hdel', '+xadd', '+xrange', '+xrevrange', '+del'],
  ...['+zadd', '+zrem', '+zrange', '+zrangebyscore', '+zcard', '+zscore', '+get', '+set'],
  ...['+publish', '+subscribe'],
]

t.test(
  'TLS, and a user of an access control list with no more rights than it needs',
  { skip: withoutRedis, timeout: 90_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const authority = new DevelopmentAuthority(folder)
    await authority.certificateFor('redis', ['redis.test'])
    const tlsPort = await freePort()
    const file = (name: string) => join(folder, name)
    const server = await startRedis(t, [
      ...['--tls-port', `${tlsPort}`, '--tls-auth-clients', 'no'],
      ...['--tls-cert-file', file('redis.crt'), '--tls-key-file', file('redis.key')],
      ...['--tls-ca-cert-file', authority.certificateFile],
    ])
    await server.cli('acl', 'setuser', 'larder', 'on', '>sesame', ...RIGHTS)
    await server.cli('acl', 'setuser', 'default', '-@all', '+publish', '+flushall')
    const redis = {
      url: `rediss://127.0.0.1:${tlsPort}`,
      username: 'larder',
      password: 'sesame',
      caPem: readFileSync(authority.certificateFile, 'utf8'),
    }
    const under = await startBus(t, { redis, machine: 'm1', maxReferences: 1 })
    const other = await startBus(t, { redis, machine: 'm2' })
    addWorkers(under, 'w0')
    addWorkers(other, 'w0')
    await waitFor(
      async () => (await under.bus.publish(tagPurge('known'), { waitMs: 1_000 })).workers === 2,
    )
    for (const reference of ['r-1', 'r-2']) {
      const receipt = await under.bus.publish(tagPurge('a', { reference }), { waitMs: 10_000 })
      t.match(receipt, { state: 'applied', workers: 2 })
    }
    const due = await under.bus.publish(tagPurge('due', { at: Date.now() + 700 }))
    await server.cli('publish', 'test:purge', 'tag acme raw')
    await server.cli('publish', 'test:purge', 'nonsense')
    await waitFor(() => ['due', 'raw'].every((tag) => other.heard.tags.includes(tag)))
    t.ok((await under.bus.receipt(due.id))?.number)
    await server.cli('flushall')
    await waitFor(() => under.heard.states.filter((state) => state === 'connected').length > 1)
    await under.bus.publish(tagPurge('last'), { waitMs: 10_000 })
    await waitFor(() => other.heard.tags.includes('last'))
    const errors = [...under.heard.errors, ...other.heard.errors].map(({ reason }) => reason)
    t.notOk(
      errors.find((reason) => /NOPERM|permission/i.test(reason)),
      errors.join('; '),
    )
    for (const { heard } of [under, other]) t.same(heard.floors, [])
  },
)

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  get,
  type LarderProcess,
  spawnLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'
import { type RedisServer, startRedis, withoutRedis } from '../support/redis-server.ts'

const options = { skip: withoutRedis, timeout: 60_000 }
const PASSWORD = 'the-password-of-redis'

async function larderWith(t: Test, redis: RedisServer, password: string): Promise<LarderProcess> {
  const url = await startOrigin(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=60')
    response.end('hello')
  })
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'redis.password'), `${password}\n`)
  writeConfig(folder, {
    redis: { url: redis.url, username: 'default', passwordFile: 'redis.password' },
    tenants: [{ id: 'acme', hosts: ['*'], origins: [{ url }] }],
  })
  const words = ['--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '1']
  return spawnLarder(t, ['start', '--config', 'larder.json', ...words], folder).started()
}

/** Workers report a little later. */
function metricsSay(larder: LarderProcess, line: RegExp): Promise<void> {
  return waitFor(async () => line.test((await get(`${larder.adminUrl}/metrics`)).body))
}

t.test('the password opens Redis and is shown nowhere', options, async (t) => {
  const redis = await startRedis(t, ['--requirepass', PASSWORD])
  const larder = await larderWith(t, redis, PASSWORD)
  const page = `http://127.0.0.1:${larder.httpPort}/page`
  const ask = (...words: readonly string[]) =>
    redis.cli('-a', PASSWORD, '--no-auth-warning', ...words)
  // Each page gets hot by its third use; the first ones may come before the connection is there.
  let pages = 0
  await waitFor(async () => {
    pages++
    for (let i = 0; i < 3; i++) await get(`${page}-${pages}`)
    return (await ask('dbsize')) !== '0'
  })
  const { body } = await get(`${larder.adminUrl}/api/v1/config`)
  t.match(JSON.parse(body), { redis: { url: /127\.0\.0\.1/, hasPassword: true } })
  t.notMatch(body, PASSWORD)
  await metricsSay(larder, /larder_tier_up\{[^}]*redis[^}]*\} 1/)
  t.notMatch(larder.stderr + larder.stdout, PASSWORD)
})

t.test('a password that Redis refuses is told, and not shown', options, async (t) => {
  const redis = await startRedis(t, ['--requirepass', 'another-one'])
  const larder = await larderWith(t, redis, PASSWORD)
  t.equal((await get(`http://127.0.0.1:${larder.httpPort}/page`)).body, 'hello')
  await waitFor(() => /Redis cannot be used/.test(larder.stderr))
  t.match(larder.stderr, /WRONGPASS/)
  t.notMatch(larder.stderr + larder.stdout, PASSWORD)
  await metricsSay(larder, /larder_tier_up\{[^}]*redis[^}]*\} 0/)
  await metricsSay(larder, /larder_tier_failures_total\{[^}]*skipped[^}]*\} [1-9]/)
})

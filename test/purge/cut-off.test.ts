import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { filteringLinkTo } from '../support/filtering-link.ts'
import {
  get,
  type LarderProcess,
  startLarder,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'
import { type RedisServer, startRedis, withoutRedis } from '../support/redis-server.ts'
import { startVersionedOrigin, versionsSeen } from '../support/versioned-origin.ts'

const PURGES = 1_000
const PAGES = 50
/** What a machine that is back may take to hear of everything. */
const GRACE_MS = 5_000

t.setTimeout(150_000)

async function post(larder: LarderProcess, body: unknown): Promise<number> {
  const response = await fetch(`${larder.adminUrl}/api/v1/purge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  await response.body?.cancel()
  return response.status
}

/** 1,000 purges at one machine while another is cut off; then whatever that one answers has to be new. */
async function purgedMeanwhile(t: Test, meanwhile: (redis: RedisServer) => Promise<unknown>) {
  const redis = await startRedis(t)
  const origin = await startVersionedOrigin(t)
  const tenants = [{ id: 'acme', hosts: ['*'], origins: [{ url: origin.url }] }]
  const here = await startLarder(t, { tenants, redis: { url: redis.url } })
  const link = await filteringLinkTo(t, redis.port)
  const disk = { path: join(temporaryFolder(t), 'cache'), maxSize: '64MiB' }
  const away = await startLarder(t, { tenants, redis: { url: link.url }, disk })
  const paths = Array.from({ length: PAGES }, (_, index) => `/${index}?tag=t-${index}`)
  for (const path of paths) await versionsSeen(away, path)

  link.cut()
  origin.version = 2
  for (let sent = 0; sent < PURGES; sent += 50) {
    const batch = Array.from({ length: 50 }, (_, index) => {
      const tags = [`t-${(sent + index) % PAGES}`]
      return post(here, { type: 'tag', tenant: 'acme', tags, wait: false })
    })
    for (const status of await Promise.all(batch)) t.ok(status === 200 || status === 202)
  }
  await waitFor(() => /"state":"cut-off"/.test(away.stderr))
  t.same(await versionsSeen(away, paths[0]), [1], 'it serves what it has while it is cut off')
  await meanwhile(redis)
  link.mend()
  await wait(GRACE_MS)
  for (const path of paths) t.same(await versionsSeen(away, path), [2], path)
  return { here, away }
}

t.test(
  `${PURGES} purges while a machine is cut off: 5 s after it is back no old response is seen`,
  { skip: withoutRedis },
  async (t) => {
    const { away } = await purgedMeanwhile(t, async () => {})
    t.notMatch(away.stderr, /counts as purged/, 'it has read them all')
    const { body } = await get(`${away.adminUrl}/api/v1/stats`)
    t.equal(JSON.parse(body).purges.number, PURGES)
  },
)

t.test(
  'the same when the log reaches back no more: everything that it stored counts as purged',
  { skip: withoutRedis },
  async (t) => {
    const { away } = await purgedMeanwhile(t, (redis) =>
      redis.cli('xtrim', '{larder:purge}:log', 'maxlen', '100'),
    )
    t.match(away.stderr, /the log of purges begins at 901 only/)
  },
)

t.test(
  'a purge that waits for Redis holds for what other machines have stored there meanwhile',
  { skip: withoutRedis },
  async (t) => {
    const redis = await startRedis(t)
    const origin = await startVersionedOrigin(t)
    const tenants = [{ id: 'acme', hosts: ['www.test'], origins: [{ url: origin.url }] }]
    const there = await startLarder(t, { tenants, redis: { url: redis.url } })
    await redis.cli('acl', 'setuser', 'here', 'on', '>secret', '~*', '&*', '+@all')
    const passwordFile = join(temporaryFolder(t), 'password')
    writeFileSync(passwordFile, 'secret')
    const access = { url: redis.url, username: 'here', passwordFile }
    const here = await startLarder(t, { tenants, redis: access })
    const body = async ({ httpPort }: LarderProcess) => {
      const headers = { host: 'www.test' }
      return (await get(`http://127.0.0.1:${httpPort}/a`, { headers })).body
    }
    // From now on it is cut off from the bus, and not from what is stored.
    await redis.cli('acl', 'setuser', 'here', 'resetkeys', '~larder:*', 'resetchannels')
    await waitFor(() => /"state":"cut-off"/.test(here.stderr))
    for (const tag of ['x', 'y', 'z']) {
      await post(there, { type: 'tag', tenant: 'acme', tags: [tag], wait: false })
    }
    const before = Number(await redis.cli('dbsize'))
    await waitFor(async () => {
      t.equal(await body(there), '1')
      return Number(await redis.cli('dbsize')) > before
    })
    origin.version = 2
    const purge = { type: 'url', urls: ['http://www.test/a'], wait: '100ms' }
    t.equal(await post(here, purge), 202)
    for (let i = 0; i < 8; i++) t.equal(await body(here), '2')
  },
)

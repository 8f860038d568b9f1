import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { temporaryFolder, waitFor } from './larder-process.ts'
import { freePort, RedisServer, startRedis } from './redis-server.ts'

/** Three masters that share the slots. */
export async function startCluster(t: Test): Promise<RedisServer[]> {
  const words = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000']
  const relaxed = ['--cluster-require-full-coverage', 'no']
  const servers = await Promise.all([1, 2, 3].map(() => startRedis(t, [...words, ...relaxed])))
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`)
  await servers[0].cli('--cluster', 'create', ...addresses, '--cluster-yes')
  for (const server of servers) {
    await waitFor(async () => (await server.cli('cluster', 'info')).includes('cluster_state:ok'))
  }
  return servers
}

export interface Watched {
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinel: RedisServer
}

/** A master called 'hot' with a replica, and a sentinel that knows both. */
export async function startWatched(t: Test): Promise<Watched> {
  const quick = ['--repl-diskless-sync-delay', '0']
  const master = await startRedis(t, quick)
  const replica = await startRedis(t, [...quick, '--replicaof', '127.0.0.1', `${master.port}`])
  const sentinel = await startSentinel(t, master)
  await waitFor(async () => (await replica.cli('info')).includes('master_link_status:up'))
  const known = () => sentinel.cli('sentinel', 'replicas', 'hot')
  await waitFor(async () => (await known()).includes(`${replica.port}`), 30_000)
  return { master, replica, sentinel }
}

async function startSentinel(t: Test, master: RedisServer): Promise<RedisServer> {
  const sentinel = new RedisServer(await freePort(), temporaryFolder(t), [])
  const file = join(sentinel.folder, 'sentinel.conf')
  const lines = [
    `sentinel monitor hot 127.0.0.1 ${master.port} 1`,
    'sentinel down-after-milliseconds hot 500',
    'sentinel failover-timeout hot 2000',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  t.teardown(() => sentinel.kill())
  return sentinel.startSentinel(file)
}

import type { Test } from 'tap'
import { purgeBusContract } from '../../packages/purge-bus/src/purge-bus.contract.ts'
import { startCluster, startWatched } from '../support/redis-deployments.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { startBus } from './redis-buses.ts'

const options = { skip: withoutRedis, timeout: 90_000 }

purgeBusContract('one Redis', options, async (t: Test) => {
  const server = await startRedis(t)
  return (t, sketch) => startBus(t, { redis: { url: server.url }, ...sketch })
})

purgeBusContract('a cluster of three masters', options, async (t: Test) => {
  const servers = await startCluster(t)
  return (t, sketch) =>
    startBus(t, { redis: { cluster: servers.map(({ url }) => url) }, ...sketch })
})

purgeBusContract('Sentinel', options, async (t: Test) => {
  const { sentinel } = await startWatched(t)
  const redis = { sentinels: [sentinel.url], sentinelName: 'hot' }
  return (t, sketch) => startBus(t, { redis, ...sketch })
})

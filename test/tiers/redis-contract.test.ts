import t, { type Test } from 'tap'
import { sharedTierContract } from '../../packages/proxy/src/storage/shared-tier.contract.ts'
import { startCluster, startWatched } from '../support/redis-deployments.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { startTier, type TierSketch } from '../support/redis-tier.ts'

const options = { skip: withoutRedis, timeout: 120_000 }
const maxObjectBytes = 2 * 1024 * 1024

/** Every test has keys of its own: a cluster for each would take longer than all of them. */
let prefixes = 0

function contractOf(t: Test, place: TierSketch): void {
  sharedTierContract(t, async (t) => {
    const prefix = `test${++prefixes}:`
    const { tier, clock } = await startTier(t, { ...place, prefix, maxObjectBytes })
    // Some of what is stored is of 1970: it is not what is out of use that this is about.
    clock.ms = 0
    return { tier, maxObjectBytes, settled: () => tier.settled() }
  })
}

t.test('one Redis server', options, async (t) => {
  const { url } = await startRedis(t)
  contractOf(t, { url })
})

t.test('a Redis Cluster of three masters', options, async (t) => {
  const servers = await startCluster(t)
  contractOf(t, { cluster: servers.map(({ url }) => url) })
})

t.test('a Redis master found through Sentinel', options, async (t) => {
  const { sentinel } = await startWatched(t)
  contractOf(t, { sentinels: [sentinel.url], sentinelName: 'hot' })
})

import t from 'tap'
import { MemoryTier } from './memory-tier.ts'
import { sharedTierContract } from './shared-tier.contract.ts'
import { diskTier } from './test-support/disk.ts'
import { MemoryAsShared } from './test-support/memory-as-shared.ts'
import { NOW } from './test-support/stored.ts'
import { TieredStore } from './tiered-store.ts'

/** Every disk tier of it starts a thread: on a busy machine the usual time is short. */
t.setTimeout(120_000)

t.test('the disk tier', async (t) => {
  sharedTierContract(t, async (t) => {
    const { tier } = diskTier(t, { maxSizeBytes: 16 * 1024 * 1024 })
    return { tier, maxObjectBytes: 4 * 1024 * 1024, settled: () => tier.settled() }
  })
})

t.test('tiers behind memory as one', async (t) => {
  sharedTierContract(t, async (t) => {
    const { tier } = diskTier(t, { maxSizeBytes: 16 * 1024 * 1024 })
    const store = new TieredStore([tier], () => NOW)
    return { tier: store, maxObjectBytes: 4 * 1024 * 1024, settled: () => tier.settled() }
  })
})

t.test('memory', async (t) => {
  sharedTierContract(t, async () => {
    const maxObjectBytes = 4 * 1024 * 1024
    const tier = new MemoryAsShared(new MemoryTier(64 * 1024 * 1024, maxObjectBytes))
    return { tier, maxObjectBytes, settled: async () => undefined }
  })
})

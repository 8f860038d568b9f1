import t from 'tap'
import type { ReusePolicy } from '../caching/may-store.ts'
import { sharedPolicy } from './shared-policy.ts'

const POLICY: ReusePolicy = {
  freshness: { lifetimeMs: 1000, source: 'max-age' },
  alwaysValidate: false,
  mayServeStale: true,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: undefined,
  immutable: false,
  withheldFields: ['set-cookie'],
}

t.test('equal policies are one object', async (t) => {
  const shared = sharedPolicy(POLICY)
  t.equal(sharedPolicy({ ...POLICY, withheldFields: ['set-cookie'] }), shared)
})

t.test('policies that differ in one thing are kept apart', async (t) => {
  const others: readonly ReusePolicy[] = [
    { ...POLICY, freshness: { lifetimeMs: 2000, source: 'max-age' } },
    { ...POLICY, freshness: { lifetimeMs: 1000, source: 'expires' } },
    { ...POLICY, alwaysValidate: true },
    { ...POLICY, mayServeStale: false },
    { ...POLICY, staleWhileRevalidateMs: 1 },
    { ...POLICY, staleIfErrorMs: 0 },
    { ...POLICY, immutable: true },
    { ...POLICY, withheldFields: [] },
    { ...POLICY, withheldFields: ['set-cookie', 'x'] },
  ]
  for (const other of others) t.same(sharedPolicy(other), other)
})

t.test('however many there are, each is itself', async (t) => {
  for (let lifetimeMs = 0; lifetimeMs < 5000; lifetimeMs++) {
    const policy = { ...POLICY, freshness: { lifetimeMs, source: 'max-age' } as const }
    if (sharedPolicy(policy).freshness.lifetimeMs !== lifetimeMs) t.fail(`${lifetimeMs}`)
  }
  t.pass()
})

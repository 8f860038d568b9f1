import type { ReusePolicy } from '../caching/may-store.ts'

/** Policies that are remembered; beyond it all are forgotten and gathered anew. */
const MAX_POLICIES = 1000

const policies = new Map<string, ReusePolicy>()

/** The same object for equal policies: a site has a handful, its stored responses are millions. */
export function sharedPolicy(policy: ReusePolicy): ReusePolicy {
  const text = textOf(policy)
  const known = policies.get(text)
  if (known !== undefined) return known
  if (policies.size >= MAX_POLICIES) policies.clear()
  policies.set(text, policy)
  return policy
}

function textOf(policy: ReusePolicy): string {
  const { freshness, alwaysValidate, mayServeStale, immutable } = policy
  const flags = (alwaysValidate ? 1 : 0) | (mayServeStale ? 2 : 0) | (immutable ? 4 : 0)
  const stale = `${policy.staleWhileRevalidateMs} ${policy.staleIfErrorMs}`
  const withheld = policy.withheldFields.join('\n')
  return `${freshness.lifetimeMs} ${freshness.source} ${flags} ${stale} ${withheld}`
}

import { invalidatedTargets } from '../caching/invalidation.ts'
import type { Fields } from '../http/fields.ts'
import { cacheKey, targetByRule } from './cache-key.ts'
import type { Transaction } from './transaction.ts'

export interface Invalidator {
  invalidate(key: string): void
}

/** Invalidates what a successful unsafe request has changed (RFC 9111 §4.4); returns the keys. */
export function invalidateAfter(
  invalidator: Invalidator,
  tx: Transaction,
  status: number,
  fields: Fields,
): string[] {
  const { request } = tx
  const { tenant } = tx
  if (tenant === null) return []
  const keys = invalidatedTargets(
    request.method,
    request.scheme,
    request.authority,
    request.target,
    status,
    fields,
  ).map((target) => {
    // Under the key that a GET of the same target has.
    const mark = target.indexOf('?')
    const rule = tenant.ruleFor(mark < 0 ? target : target.slice(0, mark), 'GET')
    return cacheKey(tenant.id, request.scheme, request.authority, targetByRule(target, rule.query))
  })
  for (const key of keys) invalidator.invalidate(key)
  return keys
}

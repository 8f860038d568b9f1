import { NO_DIRECTIVES } from '../caching/cache-control.ts'
import { headAgrees } from '../caching/freshen.ts'
import { resolveSameOrigin } from '../caching/invalidation.ts'
import { mayKeep, mayStore } from '../caching/may-store.ts'
import type { Fields } from '../http/fields.ts'
import type { Insertion, StorageTier } from '../storage/storage-tier.ts'
import { StoredResponse } from '../storage/stored-response.ts'
import { findStored } from './find-stored.ts'
import { freshenedByHead } from './judge-response.ts'
import { declaredLength } from './pass-call.ts'
import { metadataFor } from './response-metadata.ts'
import type { Transaction } from './transaction.ts'

/** What a HEAD response says of the stored GET response (RFC 9111 §4.3.5): still current, or no longer. */
export function storeAfterHead(
  tier: StorageTier,
  tx: Transaction,
  status: number,
  fields: Fields,
  now: number,
): 'forgotten' | 'kept' {
  const { rule } = tx
  const { request } = tx
  const { whole, sliced } = findStored(tier.lookUp(tx.key), tx.keyExtra, request.fields)
  const stored = whole ?? sliced
  if (!(stored instanceof StoredResponse) || status !== 200) return 'kept'
  if (rule === null || rule.cache.bypass) return 'kept'
  if (stored.status !== 200 || !headAgrees(stored.fields, fields)) {
    tier.remove(stored)
    return 'forgotten'
  }
  const keep = mayKeep({
    method: request.method,
    requestFields: request.fields,
    requestDirectives: tx.directives,
    status,
    fields,
    responseAt: now,
    rule: rule.cache,
  })
  if (keep === 'forget') {
    tier.remove(stored)
    return 'forgotten'
  }
  if (keep !== 'update') return 'kept'
  const at = requestAt(tx, now)
  tier.freshen(stored, freshenedByHead(stored, fields, request.fields, rule.cache, at, now))
  return 'kept'
}

/**
 * A POST response may be stored for later GETs when it says how long and that it is the representation of the target
 * (RFC 9110 §9.3.3: Content-Location equal to the target URI).
 */
export function storeAfterPost(
  tier: StorageTier,
  tx: Transaction,
  status: number,
  fields: Fields,
  now: number,
): Insertion | null {
  const { rule } = tx
  const { request } = tx
  const location = fields.get('content-location')
  if (rule === null || location === undefined || status !== 200) return null
  const { scheme, authority, target } = request
  if (resolveSameOrigin(location, scheme, authority, target) !== target) return null
  const decision = mayStore({
    method: 'POST',
    requestFields: request.fields,
    requestDirectives: tx.directives,
    status,
    fields,
    responseAt: now,
    rule: rule.cache,
  })
  if (!decision.store) return null
  const asked = {
    key: tx.key,
    keyExtra: tx.keyExtra,
    method: 'POST',
    requestFields: request.fields,
    requestDirectives: NO_DIRECTIVES,
    rule: rule.cache,
    validating: null,
    ranged: false,
    requestAt: requestAt(tx, now),
    purgeSequence: tx.purgeNumber,
  }
  const metadata = metadataFor(asked, status, fields, decision, undefined, now)
  return tier.insert(metadata, declaredLength(fields))
}

/** Epoch ms at which the exchange began. */
function requestAt(tx: Transaction, now: number): number {
  return now - (performance.now() - tx.exchange.startedAt)
}

import { matchesVariant } from '../caching/vary.ts'
import type { Fields } from '../http/fields.ts'
import { isSliced, type StoredMetadata, type StoredResponse } from '../storage/stored-response.ts'
import type { LargeStored, Reusable } from './large-stored.ts'

/** True when the request's nominated fields select this stored response (RFC 9111 §4.1). */
export function isSelectedBy(stored: StoredMetadata, request: Fields): boolean {
  return matchesVariant(stored.variant, request, stored.fields.get('content-language'))
}

/** What is stored for a request: newest first where several match (RFC 9111 §4). */
export interface Found {
  readonly whole: Reusable | null
  readonly part: StoredResponse | null
  /** The head of what is stored in slices. */
  readonly sliced: StoredResponse | null
  /** Something is stored for the key, be it for other variants. */
  readonly any: boolean
  /** The nominated fields of the newest stored response: what tells variants of this key apart. */
  readonly vary: string | undefined
}

export const NOTHING: Found = { whole: null, part: null, sliced: null, any: false, vary: undefined }

export function findStored(chain: StoredResponse | null, extra: string, request: Fields): Found {
  if (chain === null) return NOTHING
  let whole: StoredResponse | null = null
  let part: StoredResponse | null = null
  let sliced: StoredResponse | null = null
  for (let stored: StoredResponse | null = chain; stored !== null; stored = stored.next) {
    if (stored.keyExtra !== extra || !isSelectedBy(stored, request)) continue
    if (isSliced(stored)) sliced ??= stored
    else if (stored.part !== undefined) part ??= stored
    else if (whole === null || stored.responseAt > whole.responseAt) whole = stored
  }
  return { whole, part, sliced, any: true, vary: chain.fields.get('vary') }
}

/** A large response that a tier behind memory has for this very request. */
export function withLarge(found: Found, large: LargeStored | null): Found {
  if (large === null) return found
  const newer = found.whole === null || found.whole.responseAt <= large.responseAt
  const vary = found.vary ?? large.fields.get('vary')
  return { ...found, whole: newer ? large : found.whole, any: true, vary }
}

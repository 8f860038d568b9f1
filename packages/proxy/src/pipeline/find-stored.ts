import { matchesVariant } from '../caching/vary.ts'
import type { Fields } from '../http/fields.ts'
import type { StoredResponse } from '../storage/stored-response.ts'

/** What is stored for a request: newest first where several match (RFC 9111 §4). */
export interface Found {
  readonly whole: StoredResponse | null
  readonly part: StoredResponse | null
  /** Something is stored for the key, be it for other variants. */
  readonly any: boolean
  /** The nominated fields of the newest stored response: what tells variants of this key apart. */
  readonly vary: string | undefined
}

const NOTHING: Found = { whole: null, part: null, any: false, vary: undefined }

export function findStored(chain: StoredResponse | null, extra: string, request: Fields): Found {
  if (chain === null) return NOTHING
  let whole: StoredResponse | null = null
  let part: StoredResponse | null = null
  for (let stored: StoredResponse | null = chain; stored !== null; stored = stored.next) {
    if (stored.keyExtra !== extra || !matchesVariant(stored.variant, request)) continue
    if (stored.part !== undefined) part ??= stored
    else if (whole === null || stored.responseAt > whole.responseAt) whole = stored
  }
  return { whole, part, any: true, vary: chain.fields.get('vary') }
}

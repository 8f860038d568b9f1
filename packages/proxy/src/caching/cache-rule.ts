import type { Fields } from '../http/fields.ts'
import { DEFAULT_TAG_LIMITS, type TagLimits } from './response-tags.ts'

/** What a rule of the configuration says about caching: compiled once, read by the decisions. Times in ms. */
export interface CacheRule {
  readonly bypass: boolean
  /** Replaces the origin's freshness lifetime, explicit or not. */
  readonly ttlMs: number | undefined
  /** For successful responses whose origin gave no freshness. */
  readonly defaultTtlMs: number | undefined
  readonly minTtlMs: number | undefined
  readonly maxTtlMs: number | undefined
  /** For responses whose origin did not say. */
  readonly staleWhileRevalidateMs: number | undefined
  readonly staleIfErrorMs: number | undefined
  readonly honourRequestDirectives: boolean
  readonly honourOriginDirectives: boolean
  /** Responses with Set-Cookie and explicit freshness may be stored, without that field. */
  readonly storeSetCookie: boolean
  /** A response with more is not stored. */
  readonly tagLimits: TagLimits
  /** Clients see the fields that tags come in. */
  readonly showTags: boolean
  /** Bytes of the slices in which ranges are fetched and stored; 'automatic' = for what is large alone. */
  readonly slice: number | 'automatic' | 'off'
  /**
   * A request field of ours that tells who the client is, as Authorization does (RFC 9111 §3.5); null when there is none,
   * or when it is part of the key.
   */
  readonly credentialField: string | null
}

/** Whether the request says who asks: the answer is likely to be for one client (RFC 9111 §3.5). */
export function hasCredentials(fields: Fields, { credentialField }: CacheRule): boolean {
  if (fields.has('authorization')) return true
  return credentialField !== null && fields.has(credentialField)
}

export const DEFAULT_RULE: CacheRule = Object.freeze({
  bypass: false,
  ttlMs: undefined,
  defaultTtlMs: undefined,
  minTtlMs: undefined,
  maxTtlMs: undefined,
  staleWhileRevalidateMs: undefined,
  staleIfErrorMs: undefined,
  honourRequestDirectives: true,
  honourOriginDirectives: true,
  storeSetCookie: false,
  tagLimits: DEFAULT_TAG_LIMITS,
  showTags: false,
  slice: 'automatic',
  credentialField: null,
})

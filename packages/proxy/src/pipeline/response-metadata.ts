import { ageBase, hasUsableAge } from '../caching/age.ts'
import type { CacheControl } from '../caching/cache-control.ts'
import type { CacheRule } from '../caching/cache-rule.ts'
import type { ReusePolicy } from '../caching/may-store.ts'
import { TAG_FIELDS } from '../caching/response-tags.ts'
import type { SliceRequest, Slicing } from '../caching/slices.ts'
import { variantKey } from '../caching/vary.ts'
import { parseContentLength } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import { type ByteRange, type ContentRange, parseContentRange } from '../http/range.ts'
import type { StoredMetadata, StoredPart, StoredResponse } from '../storage/stored-response.ts'
import type { Reusable } from './large-stored.ts'

/** What the origin was asked, as far as its answer depends on it. */
export interface AskedFor {
  readonly key: string
  readonly keyExtra: string
  readonly method: string
  readonly requestFields: Fields
  readonly requestDirectives: CacheControl
  readonly rule: CacheRule
  /** The stored response whose validators went along. */
  readonly validating: Reusable | null
  /** A Range went along. */
  readonly ranged: boolean
  readonly requestAt: number
  readonly purgeSequence: number
  /** What it turns out to be a part of may be kept in slices; null when not. */
  readonly slicing?: Slicing | null
  /** A head that has been stored for it since. */
  readonly known?: StoredResponse | null
  /** The slice that was asked for in place of the client's range, while nothing is known of the whole. */
  readonly probe?: ByteRange | null
  /** The one slice that `key` stands for. */
  readonly slice?: SliceRequest | null
  /** Epoch ms from which the answer's age counts, when another worker has said so exactly. */
  readonly peerAgeBaseAt?: number
  /** The answer's tags, when another worker has said them. */
  readonly peerTags?: readonly string[]
}

export function metadataFor(
  asked: AskedFor,
  status: number,
  fields: Fields,
  { policy, tags }: { readonly policy: ReusePolicy; readonly tags: readonly string[] },
  part: StoredPart | undefined,
  now: number,
): StoredMetadata {
  return {
    key: asked.key,
    keyExtra: asked.keyExtra,
    variant: variantKey(fields.get('vary'), asked.requestFields),
    status,
    fields: sharedFields(fields, policy, asked.rule),
    responseAt: now,
    ...lifetime(fields, asked.requestAt, now, policy, asked.peerAgeBaseAt),
    policy,
    part,
    tags: asked.peerTags ?? tags,
    purgeSequence: asked.purgeSequence,
  }
}

export function lifetime(
  fields: Fields,
  requestAt: number,
  now: number,
  policy: ReusePolicy,
  peerAgeBaseAt?: number,
): { ageBaseAt: number; freshUntilAt: number } {
  const ageBaseAt = peerAgeBaseAt ?? ageBase(fields, requestAt, now)
  const freshUntilAt = hasUsableAge(fields) ? ageBaseAt + policy.freshness.lifetimeMs : now
  return { ageBaseAt, freshUntilAt }
}

/** Bytes of the body that is to be stored: of a part what Content-Range says; undefined when nobody said. */
export function expectedBytes({ fields, part }: StoredMetadata): number | undefined {
  const length = fields.get('content-length')
  if (part === undefined) return length === undefined ? undefined : parseContentLength(length)
  const range = rangeOf(fields)
  return range === undefined ? undefined : range.last - range.first + 1
}

/** What the shared copy carries: no Age of its own, nothing withheld (RFC 9111 §3.1), tags apart from the fields. */
export function sharedFields(fields: Fields, policy: ReusePolicy, rule: CacheRule): Fields {
  return fields.without(
    (name) =>
      name === 'age' ||
      policy.withheldFields.includes(name) ||
      (!rule.showTags && TAG_FIELDS.has(name)),
  )
}

/** What a 206 says that it is; undefined when that cannot be. */
export function rangeOf(fields: Fields): ContentRange | undefined {
  const text = fields.get('content-range')
  const range = text === undefined ? undefined : parseContentRange(text)
  if (range === undefined) return undefined
  const length = fields.get('content-length')
  // RFC 9110 §15.3.7.1: the length is that of the part; a part of another size is not what it says.
  if (length !== undefined && parseContentLength(length) !== range.last - range.first + 1) {
    return undefined
  }
  return range
}

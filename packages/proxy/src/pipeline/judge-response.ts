import { ageBase, hasUsableAge } from '../caching/age.ts'
import type { CacheControl } from '../caching/cache-control.ts'
import type { CacheRule } from '../caching/cache-rule.ts'
import { freshenedFields, validatesStored } from '../caching/freshen.ts'
import {
  type KeepDecision,
  mayKeep,
  mayStore,
  type ReusePolicy,
  reusePolicy,
  type StoreRefusal,
  withheldFields,
} from '../caching/may-store.ts'
import { responseTags, TAG_FIELDS } from '../caching/response-tags.ts'
import { CONSUMED_FIELDS, responseDirectives } from '../caching/targeted-cache-control.ts'
import { type VariantKey, variantKey } from '../caching/vary.ts'
import { parseContentLength } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import { endToEnd } from '../http/hop-by-hop.ts'
import { formatHttpDate } from '../http/http-date.ts'
import { ProxyError } from '../http/proxy-error.ts'
import { type ContentRange, parseContentRange } from '../http/range.ts'
import type { StoredMetadata, StoredPart } from '../storage/stored-response.ts'

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
  /** Epoch ms from which the answer's age counts, when another worker has said so exactly. */
  readonly peerAgeBaseAt?: number
  /** The answer's tags, when another worker has said them. */
  readonly peerTags?: readonly string[]
}

export type Verdict =
  | {
      readonly kind: 'freshened'
      readonly metadata: StoredMetadata
      readonly keep: KeepDecision
    }
  /** A 304 for something that is not stored here: ask again without conditions. */
  | { readonly kind: 'ask-again' }
  | { readonly kind: 'store'; readonly metadata: StoredMetadata; readonly clientFields: Fields }
  | { readonly kind: 'pass'; readonly reason: StoreRefusal; readonly clientFields: Fields }
  | { readonly kind: 'invalid'; readonly error: ProxyError }

/** Failures of the request rather than of the resource: they hang on fields that are no part of the key. */
const ABOUT_THE_REQUEST: ReadonlySet<number> = new Set([412, 413, 416, 417, 431])

/** What to do with the head of an origin's answer. `now` = when it came, epoch ms. */
export function judgeResponse(
  asked: AskedFor,
  status: number,
  received: Fields,
  originName: string,
  now: number,
): Verdict {
  const fields = responseFields(received, now)
  if (status === 304) return judgeNotModified(asked, fields, originName, now)
  const pass = (reason: StoreRefusal): Verdict => ({ kind: 'pass', reason, clientFields: fields })
  let part: StoredPart | undefined
  if (status === 206) {
    // A part nobody asked for must not be taken for the whole.
    if (!asked.ranged) return invalid(originName, '206 to a request without Range')
    const range = rangeOf(fields)
    if (range?.completeLength === undefined) return pass('partial-without-validator')
    part = { first: range.first, completeLength: range.completeLength }
  } else if (ABOUT_THE_REQUEST.has(status) || (asked.ranged && status !== 200)) {
    return pass('status')
  }
  const decision = mayStore({
    method: asked.method,
    requestFields: asked.requestFields,
    requestDirectives: asked.requestDirectives,
    status,
    fields,
    responseAt: now,
    rule: asked.rule,
  })
  if (!decision.store) return pass(decision.reason)
  const metadata = metadataFor(asked, status, fields, decision, part, now)
  return { kind: 'store', metadata, clientFields: fields }
}

function judgeNotModified(
  asked: AskedFor,
  fields: Fields,
  originName: string,
  now: number,
): Verdict {
  const stored = asked.validating
  if (stored === null) return invalid(originName, '304 to a request without conditions')
  if (!validatesStored(stored.fields, fields)) return { kind: 'ask-again' }
  // The update's own date and age decide how old the freshened response is.
  const dated = freshenedFields(stored.fields, fields)
  const policy = reusePolicy(stored.status, dated, responseDirectives(dated), asked.rule, now)
  return {
    kind: 'freshened',
    keep: mayKeep({ ...asked, status: stored.status, fields: dated, responseAt: now }),
    metadata: {
      ...stored,
      variant: freshenedVariant(stored, dated, asked.requestFields),
      fields: sharedFields(dated, policy, asked.rule),
      responseAt: now,
      ...lifetime(fields, asked.requestAt, now, policy, asked.peerAgeBaseAt),
      policy,
      tags: asked.peerTags ?? freshenedTags(stored, fields, asked.rule),
      purgeSequence: asked.purgeSequence,
    },
  }
}

/** An update that says nothing of tags leaves them as they were (RFC 9111 §3.2). */
function freshenedTags(stored: StoredMetadata, update: Fields, rule: CacheRule): readonly string[] {
  for (const name of TAG_FIELDS) {
    // Too many were refused before this: `mayKeep`.
    if (update.has(name)) return responseTags(update, rule.tagLimits) ?? stored.tags
  }
  return stored.tags
}

/** Nominated fields that are new with the update have the values of the request that brought it. */
function freshenedVariant(stored: StoredMetadata, dated: Fields, request: Fields): VariantKey {
  const variant = variantKey(dated.get('vary'), request)
  return String(variant.names) === String(stored.variant.names) ? stored.variant : variant
}

/** A stored GET freshened by a HEAD response that agrees with it (RFC 9111 §4.3.5). */
export function freshenedByHead(
  stored: Reusable,
  head: Fields,
  request: Fields,
  rule: CacheRule,
  requestAt: number,
  now: number,
): StoredMetadata {
  const dated = freshenedFields(stored.fields, head)
  const policy = reusePolicy(stored.status, dated, responseDirectives(dated), rule, now)
  return {
    ...stored,
    variant: freshenedVariant(stored, dated, request),
    fields: sharedFields(dated, policy, rule),
    responseAt: now,
    ...lifetime(head, requestAt, now, policy),
    policy,
    tags: freshenedTags(stored, head, rule),
  }
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

function lifetime(
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

/** End-to-end fields with exactly one Date (RFC 9110 §6.6.1). */
export function responseFields(received: Fields, now: number): Fields {
  // What only our own workers may say.
  const fields = endToEnd(received).without((name) => name.startsWith('larder-peer'))
  if (fields.values('date').length !== 1) fields.set('date', formatHttpDate(now))
  return fields
}

/** An interim response has no content, so its framing fields are noise at best (RFC 9110 §8.6). */
export function interimFields(received: Fields): Fields {
  return endToEnd(received).without((name) => name === 'content-length')
}

/** Without the fields that were meant for this cache alone; `rule` = null for what is stored, which has no others. */
export function clientSafe(fields: Fields, rule: CacheRule | null): Fields {
  const hideTags = rule?.showTags === false
  return fields.without((name) => CONSUMED_FIELDS.has(name) || (hideTags && TAG_FIELDS.has(name)))
}

/** What of an answer that is not stored goes to those who only waited with the one who asked. */
export function forFollowers(fields: Fields, rule: CacheRule): Fields {
  const withheld = withheldFields(responseDirectives(fields).directives, rule)
  return fields.without((name) => withheld.includes(name))
}

/** Bytes of the body that is to be stored: of a part what Content-Range says; undefined when nobody said. */
export function expectedBytes({ fields, part }: StoredMetadata): number | undefined {
  const length = fields.get('content-length')
  if (part === undefined) return length === undefined ? undefined : parseContentLength(length)
  const range = rangeOf(fields)
  return range === undefined ? undefined : range.last - range.first + 1
}

/** What the shared copy carries: no Age of its own, nothing withheld (RFC 9111 §3.1), tags apart from the fields. */
function sharedFields(fields: Fields, policy: ReusePolicy, rule: CacheRule): Fields {
  return fields.without(
    (name) =>
      name === 'age' ||
      policy.withheldFields.includes(name) ||
      (!rule.showTags && TAG_FIELDS.has(name)),
  )
}

function rangeOf(fields: Fields): ContentRange | undefined {
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

function invalid(originName: string, what: string): Verdict {
  return {
    kind: 'invalid',
    error: new ProxyError('ORIGIN_INVALID_RESPONSE', [originName, what]),
  }
}

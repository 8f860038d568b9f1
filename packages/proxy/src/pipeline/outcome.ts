import type { StoreRefusal } from '../caching/may-store.ts'
import type { ProxyErrorCode } from '../http/proxy-error.ts'
import { sfTokenOrString } from '../http/structured-text.ts'

/** Why a request went forward (RFC 9211 §2.2). */
export type ForwardReason =
  | 'bypass'
  | 'method'
  | 'uri-miss'
  | 'vary-miss'
  | 'request'
  | 'stale'
  | 'partial'

/** Words for `detail` that are not store refusals. */
export type OutcomeDetail =
  | StoreRefusal
  | 'stale-while-revalidate'
  | 'stale-if-error'
  | 'max-stale'
  | 'only-if-cached'
  | 'not-modified-mismatch'
  /** The purge bus is out of reach: a purge may have been sent that is not in force here. */
  | 'bus-lost'

/**
 * What happened to one exchange: filled by the pipeline as it goes, read once for Cache-Status, the access log and the
 * metrics, which therefore always agree.
 */
export class Outcome {
  hit = false
  forwarded: ForwardReason | null = null
  /** Status of the origin's answer when it differs from what the client got; 0 when none came. */
  forwardStatus = 0
  stored = false
  collapsed = false
  detail: OutcomeDetail | null = null
  error: ProxyErrorCode | null = null
  /** `detail` as the worker said that owns the key. */
  ownersDetail: string | null = null
  /** Remaining freshness lifetime in seconds, negative when stale; undefined when nothing stored is involved. */
  ttlSeconds: number | undefined = undefined
  /** Name of the origin that was asked. */
  origin = ''
  /** ms from the start of the exchange; 0 = not reached. */
  originHeadMs = 0

  /** The word for logs and metrics: hit, the reason it was forwarded, or none. */
  get word(): 'hit' | ForwardReason | 'none' {
    if (this.hit) return 'hit'
    return this.forwarded ?? 'none'
  }

  /** The worker that owns the key has answered, and says so in its own Cache-Status: the client sees one cache. */
  tookOver(cacheStatus: string): void {
    if (/; hit(;|$)/.test(cacheStatus)) {
      this.hit = true
      this.forwarded = null
    }
    const status = /; fwd-status=([0-9]{3})/.exec(cacheStatus)
    this.forwardStatus = status === null ? 0 : Number(status[1])
    if (/; collapsed(;|$)/.test(cacheStatus)) this.collapsed = true
    this.ownersDetail = /; detail=([^;]+)/.exec(cacheStatus)?.[1] ?? null
  }

  /** This cache's member of Cache-Status (RFC 9211). */
  cacheStatus(): string {
    let text = 'Larder'
    if (this.hit) text += '; hit'
    else if (this.forwarded !== null) {
      text += `; fwd=${this.forwarded}`
      if (this.forwardStatus !== 0) text += `; fwd-status=${this.forwardStatus}`
      if (this.stored) text += '; stored'
      if (this.collapsed) text += '; collapsed'
    }
    if (this.ttlSeconds !== undefined) text += `; ttl=${this.ttlSeconds}`
    if (this.detail !== null) text += `; detail=${sfTokenOrString(this.detail)}`
    else if (this.ownersDetail !== null) text += `; detail=${this.ownersDetail}`
    else if (this.error !== null) text += `; detail=${this.error}`
    return text
  }
}

import type { CacheControl } from '../caching/cache-control.ts'
import { NO_DIRECTIVES } from '../caching/cache-control.ts'
import type { SliceRequest } from '../caching/slices.ts'
import { withoutNominated } from '../http/hop-by-hop.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type { Exchange, RequestHead } from '../transport/exchange.ts'
import type { LargeStored, Reusable } from './large-stored.ts'
import { Outcome } from './outcome.ts'
import type { Rule, Tenant } from './site.ts'

/** Bytes [first, end) of a slice. */
export interface WantedBytes {
  readonly first: number
  readonly end: number
}

/** One exchange on its way through the pipeline. */
export class Transaction {
  readonly exchange: Exchange
  /**
   * The request without what its Connection names: what the origin does not see must not choose a stored response,
   * or a client could store its answer under the key of others (RFC 9110 §7.6.1). Once the tenant is known: with what we
   * say of the client in place of what it says itself.
   */
  request: RequestHead
  readonly outcome = new Outcome()
  tenant: Tenant | null = null
  rule: Rule | null = null
  /** Target as the rule's query option leaves it: what key and origin see. */
  target = ''
  key = ''
  keyExtra = ''
  /** The request's Cache-Control, empty when the rule ignores it. */
  directives: CacheControl = NO_DIRECTIVES
  /** Number of the last purge that was in force when the request came. */
  purgeNumber = 0
  /** Status sent; 0 while there is none. */
  status = 0
  /** ms from the start of the exchange to the response head. */
  firstByteMs = 0
  closed = false
  /** The request comes from another worker, which is answered as a client but asks nobody else. */
  fromPeer = false
  /** It has seen that waiting for another's answer is of no use here. */
  alone = false
  failure: ProxyError | null = null
  /** A stored response that may have to do if the origin fails. */
  fallback: Reusable | null = null
  /** The tiers behind memory have been asked. */
  sought = false
  /** What they have for this request, when it is too large for memory. */
  large: LargeStored | null = null
  /** It is for one slice of a representation, asked for by an answer that is put together from slices. */
  slice: SliceRequest | null = null
  /** The key of the head in front of that slice; '' when it is for none. */
  headKey = ''
  /** The bytes wanted of that slice's content; null = all. */
  wanted: WantedBytes | null = null
  /** Times that it turned out not to be what slices can be had of. */
  sliceFailures = 0
  /** Told when the exchange ends early, so that nobody works for it any more. */
  onGone: (() => void) | null = null
  /** Times that it has waited for the fetch of another machine. */
  leaseWaits = 0
  /** Times that an answer of another request turned out not to be for this one. */
  released = 0

  constructor(exchange: Exchange) {
    this.exchange = exchange
    const { request } = exchange
    const fields = withoutNominated(request.fields)
    this.request = fields === request.fields ? request : { ...request, fields }
  }
}

import { DEFAULT_RULE } from '../caching/cache-rule.ts'
import type { OriginTrouble } from '../caching/decide-reuse.ts'
import { parseContentLength } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type {
  OriginFetch,
  OriginHandler,
  OriginRequest,
  ResponseFraming,
} from '../origin/origin-fetch.ts'
import type { Insertion } from '../storage/storage-tier.ts'
import { answerPassed } from './answer.ts'
import { clientSafe, interimFields, responseFields } from './judge-response.ts'
import { ResponseStream } from './response-stream.ts'
import type { Transaction } from './transaction.ts'

/** What a passed request needs of the pipeline. */
export interface PassHost {
  now(): number
  start(tx: Transaction, request: OriginRequest, handler: OriginHandler): OriginFetch
  fail(tx: Transaction, error: ProxyError): void
  /** The origin's head has come: invalidations, updates by HEAD, and an insertion for the few that may be stored. */
  passed(tx: Transaction, status: number, fields: Fields): Insertion | null
  /** True when a stored response was used instead. */
  useStale(tx: Transaction, trouble: OriginTrouble): boolean
  countOrigin(tx: Transaction, outcome: string): void
  countOriginBytes(bytes: number): void
}

/** One exchange passed to the origin and back, both bodies streaming; it ends with its client. */
export class PassCall implements OriginHandler {
  readonly #host: PassHost
  readonly #tx: Transaction
  #fetch: OriginFetch | null = null
  #stream: ResponseStream | null = null
  #insertion: Insertion | null = null

  constructor(host: PassHost, tx: Transaction) {
    this.#host = host
    this.#tx = tx
  }

  start(request: OriginRequest): void {
    this.#tx.onGone = () => this.#gone()
    this.#fetch = this.#host.start(this.#tx, request, this)
  }

  onInterim(status: number, fields: Fields): void {
    this.#tx.exchange.inform(status, interimFields(fields))
  }

  onHead(
    status: number,
    received: Fields,
    originName: string,
    framing: ResponseFraming = 'certain',
  ): void {
    const tx = this.#tx
    const now = this.#host.now()
    this.#host.countOrigin(tx, `${Math.floor(status / 100)}xx`)
    tx.outcome.origin = originName
    tx.outcome.originHeadMs = performance.now() - tx.exchange.startedAt
    tx.outcome.forwardStatus = status
    if (status >= 500 && this.#host.useStale(tx, 'error-status')) {
      this.#fetch?.abort()
      return
    }
    const fields = responseFields(received, now)
    this.#insertion = this.#host.passed(tx, status, fields)
    if (framing === 'until-close') {
      this.#insertion?.abandon()
      this.#insertion = null
    }
    if (this.#insertion !== null) tx.outcome.stored = true
    const fetch = this.#fetch
    if (fetch === null) return
    const stream = new ResponseStream(fetch, null)
    this.#stream = stream
    answerPassed(tx, status, clientSafe(fields, tx.rule?.cache ?? DEFAULT_RULE), stream)
  }

  onChunk(chunk: Buffer): void {
    this.#host.countOriginBytes(chunk.length)
    if (this.#insertion !== null && !this.#insertion.write(chunk)) this.#insertion = null
    this.#stream?.push(chunk)
  }

  onEnd(trailers: Fields | null): void {
    this.#insertion?.commit()
    this.#insertion = null
    this.#stream?.finish(trailers)
  }

  onError(error: ProxyError): void {
    this.#insertion?.abandon()
    this.#insertion = null
    if (this.#stream !== null) return this.#stream.fail()
    this.#host.countOrigin(this.#tx, error.code)
    if (this.#host.useStale(this.#tx, 'unreachable')) return
    this.#host.fail(this.#tx, error)
  }

  #gone(): void {
    this.#stream?.removeExchange(this.#tx.exchange)
    this.#insertion?.abandon()
    this.#insertion = null
    this.#fetch?.abort()
  }
}

/** Declared length of a response body, when it is valid. */
export function declaredLength(fields: Fields): number | undefined {
  const text = fields.get('content-length')
  return text === undefined ? undefined : parseContentLength(text)
}

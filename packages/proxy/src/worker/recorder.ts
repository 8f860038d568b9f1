import type { Clock } from '../http/clock.ts'
import type { AccessLog } from '../observability/access-log.ts'
import type { WorkerMetrics } from '../observability/metrics.ts'
import { subjectOf } from '../pipeline/client-subject.ts'
import type { HitRecorder, ReadyHit } from '../pipeline/front-door.ts'
import type { Tenant } from '../pipeline/site.ts'
import type { Transaction } from '../pipeline/transaction.ts'
import type { ClientFacts, ExchangeEnd, RequestView } from '../transport/exchange.ts'

/** Turns outcomes into metrics and log lines: for hits with a few additions and one line of text. */
export class Recorder implements HitRecorder {
  readonly #metrics: WorkerMetrics
  readonly #log: AccessLog
  readonly #clock: Clock
  readonly #series = new Map<string, number>()
  readonly #bytes: number
  readonly #duration: number
  readonly #firstByte: number
  readonly #originFirstByte: number
  readonly #collapsed: number
  readonly #originBytes: number

  constructor(metrics: WorkerMetrics, log: AccessLog, clock: Clock) {
    this.#metrics = metrics
    this.#log = log
    this.#clock = clock
    this.#bytes = metrics.series('larder_response_bytes_total')
    this.#duration = metrics.histogram('larder_request_duration_seconds')
    this.#firstByte = metrics.histogram('larder_first_byte_seconds')
    this.#originFirstByte = metrics.histogram('larder_origin_first_byte_seconds')
    this.#originBytes = metrics.series('larder_origin_bytes_total')
    this.#collapsed = metrics.series('larder_collapsed_requests_total')
  }

  recordHit(
    view: RequestView,
    client: ClientFacts,
    hit: ReadyHit,
    bytes: number,
    startedAt: number,
  ): void {
    const durationMs = performance.now() - startedAt
    const tenant = hit.tenant?.id ?? ''
    this.#count(tenant, 'hit', hit.status, view.httpVersion, bytes, durationMs, durationMs)
    if (!this.#log.enabled) return
    this.#log.write(
      {
        clientAddress: client.address,
        tenant,
        rule: hit.rule?.name ?? '',
        method: view.method,
        scheme: view.scheme,
        authority: view.authority,
        target: view.target,
        httpVersion: view.httpVersion,
        status: hit.status,
        bytes,
        cache: 'hit',
        complete: true,
        durationMs,
        firstByteMs: durationMs,
        subject: hit.tenant === null ? undefined : subjectOf(hit.tenant, client),
        extra: null,
      },
      this.#clock.ms,
    )
  }

  record(tx: Transaction, end: ExchangeEnd): void {
    const { exchange, outcome } = tx
    const { request } = exchange
    const durationMs = performance.now() - exchange.startedAt
    const tenant = tx.tenant?.id ?? ''
    this.#count(
      tenant,
      outcome.word,
      tx.status,
      request.httpVersion,
      end.bytesSent,
      durationMs,
      tx.firstByteMs,
    )
    if (outcome.originHeadMs > 0) {
      this.#metrics.observe(this.#originFirstByte, outcome.originHeadMs / 1000)
    }
    if (!this.#log.enabled) return
    this.#log.write(
      {
        clientAddress: exchange.client.address,
        tenant,
        rule: tx.rule?.name ?? '',
        method: request.method,
        scheme: request.scheme,
        authority: request.authority,
        target: request.target,
        httpVersion: request.httpVersion,
        status: tx.status,
        bytes: end.bytesSent,
        cache: outcome.word,
        complete: end.complete,
        durationMs,
        firstByteMs: tx.firstByteMs,
        subject: tx.tenant === null ? undefined : subjectOf(tx.tenant, exchange.client),
        extra: {
          stored: outcome.stored,
          collapsed: outcome.collapsed,
          detail: outcome.detail,
          error: tx.failure === null ? null : (tx.failure.proxyStatus ?? tx.failure.code),
          origin: outcome.origin,
          forwardStatus: outcome.forwardStatus,
          originHeadMs: outcome.originHeadMs,
        },
      },
      this.#clock.ms,
    )
  }

  /** A connection that was refused before there was a request. */
  countRefusal(reason: string): void {
    this.#metrics.increment(this.#labelled('larder_refused_requests_total', reason))
  }

  recordRefusal(_client: ClientFacts, status: number, reason: string): void {
    this.#metrics.increment(this.#labelled('larder_refused_requests_total', reason))
    this.#metrics.increment(
      this.#labelled('larder_requests_total', '', 'none', statusClass(status), ''),
    )
  }

  countOrigin(tenant: Tenant | null, outcome: string): void {
    this.#metrics.increment(
      this.#labelled('larder_origin_requests_total', tenant?.id ?? '', outcome),
    )
  }

  countOriginBytes(bytes: number): void {
    this.#metrics.add(this.#originBytes, bytes)
  }

  countCollapsed(): void {
    this.#metrics.increment(this.#collapsed)
  }

  #count(
    tenant: string,
    cache: string,
    status: number,
    version: string,
    bytes: number,
    durationMs: number,
    firstByteMs: number,
  ): void {
    const metrics = this.#metrics
    const key = `${tenant} ${cache} ${status} ${version}`
    let series = this.#series.get(key)
    if (series === undefined) {
      series = metrics.series(
        'larder_requests_total',
        tenant,
        cache,
        statusClass(status),
        `HTTP/${version}`,
      )
      // As bounded as the series themselves: tenants come from the configuration, the rest from fixed lists.
      if (this.#series.size < 10_000) this.#series.set(key, series)
    }
    metrics.increment(series)
    metrics.add(this.#bytes, bytes)
    metrics.observe(this.#duration, durationMs / 1000)
    metrics.observe(this.#firstByte, firstByteMs / 1000)
  }

  #labelled(
    name:
      | 'larder_refused_requests_total'
      | 'larder_requests_total'
      | 'larder_origin_requests_total',
    ...labels: string[]
  ): number {
    return this.#metrics.series(name, ...labels)
  }
}

function statusClass(status: number): string {
  return status === 0 ? 'none' : `${Math.floor(status / 100)}xx`
}

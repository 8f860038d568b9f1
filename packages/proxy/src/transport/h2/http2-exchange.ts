import { parseContentLength } from '../../http/field-syntax.ts'
import { Fields } from '../../http/fields.ts'
import { isOfConnection } from '../../http/hop-by-hop.ts'
import { offeredAs, offeredByConnect } from '../../http/upgrade.ts'
import type {
  ClientFacts,
  Exchange,
  ExchangeEnd,
  RequestBody,
  RequestHead,
  ResponseHead,
  ResponseWriter,
} from '../exchange.ts'
import type { SwitchRefusal, UpgradedConnection } from '../upgraded-connection.ts'
import { ERROR } from './frame.ts'
import { encodeHeadBlock, encodeTrailerBlock } from './hpack-encoder.ts'
import { MAX_HEAD_BLOCK_BYTES } from './output.ts'
import type { Http2Stream } from './stream.ts'
import { Http2Tunnel } from './tunnel.ts'

/** Response content in a stream below which a writer that was stopped may go on: bytes. */
const DRAINED_BYTES = 32 * 1024

/** Interim responses that wait for a client that does not read; more are dropped, they are only hints. */
const MAX_QUEUED_HEADS = 8

/** What the pipeline holds of a stream: the exchange, and once the response streams, its writer. */
export class Http2Exchange implements Exchange, ResponseWriter {
  readonly request: RequestHead
  readonly body: RequestBody | null
  readonly client: ClientFacts
  readonly startedAt: number
  readonly upgrade: readonly string[] | null
  onClose: ((end: ExchangeEnd) => void) | null
  onDrain: (() => void) | null
  readonly #stream: Http2Stream
  /** Content-Length still to be sent; -1 when the response has none. */
  #owedBytes: number
  /** HEAD, 204 and 304: content is counted, never sent (RFC 9110 §6.4.1). */
  #contentless: boolean
  #wantsDrain: boolean
  #settled: boolean
  #tunnel: Http2Tunnel | null

  constructor(stream: Http2Stream, request: RequestHead, client: ClientFacts, startedAt: number) {
    this.request = request
    const protocol = request.fields.get(':protocol')
    this.upgrade = protocol === undefined ? null : offeredByConnect(protocol)
    // RFC 9110 §9.3.6: CONNECT has no content; what comes is the tunnel's, once there is one.
    this.body = protocol === undefined ? stream.content : null
    this.client = client
    this.startedAt = startedAt
    this.onClose = null
    this.onDrain = null
    this.#stream = stream
    this.#owedBytes = -1
    this.#contentless = false
    this.#wantsDrain = false
    this.#settled = false
    this.#tunnel = null
  }

  inform(status: number, fields: Fields): void {
    const stream = this.#stream
    if (stream.closed || stream.finalHeadQueued || status < 100 || status > 199 || status === 101)
      return
    if (stream.heads.length >= MAX_QUEUED_HEADS) return
    const block = encodeHeadBlock(status, fields)
    if (block.length <= MAX_HEAD_BLOCK_BYTES) this.#queueHead(block)
  }

  respond(head: ResponseHead, body: Uint8Array | null): void {
    if (!this.#begin(head)) return
    if (body !== null) this.write(body)
    this.end()
  }

  respondStreaming(head: ResponseHead): ResponseWriter {
    this.#begin(head)
    return this
  }

  write(chunk: Uint8Array): boolean {
    const stream = this.#stream
    if (stream.tunnel || stream.closed || stream.ended || !stream.finalHeadQueued) return true
    let content = chunk
    if (this.#owedBytes >= 0) {
      // Octets beyond Content-Length never leave (RFC 9113 §8.1.1).
      if (content.length > this.#owedBytes) content = content.subarray(0, this.#owedBytes)
      this.#owedBytes -= content.length
    }
    if (this.#contentless || stream.queue(content)) return true
    this.#wantsDrain = true
    return false
  }

  end(trailers?: Fields): void {
    const stream = this.#stream
    if (stream.tunnel || stream.closed || stream.ended || !stream.finalHeadQueued) return
    // The client must not take a part for the whole (RFC 9113 §8.1.1).
    if (this.#owedBytes > 0 && !this.#contentless) {
      stream.connection.resetStream(stream.id, ERROR.internal)
      return
    }
    stream.ended = true
    if (trailers !== undefined && trailers.list.length > 0 && !this.#contentless) {
      const block = encodeTrailerBlock(trailers)
      if (block.length <= MAX_HEAD_BLOCK_BYTES) stream.trailers = block
    }
    stream.schedule()
  }

  switchProtocols(protocol: string, fields: Fields): UpgradedConnection | SwitchRefusal {
    const stream = this.#stream
    if (stream.closed || stream.finalHeadQueued) return 'answered'
    if (this.upgrade === null) return 'not-asked'
    const offered = offeredAs(this.upgrade, protocol)
    if (offered === null) return 'not-offered'
    // RFC 8441 §5: 200 says what 101 says, and there is no Upgrade; RFC 9110 §9.3.6: no Content-Length either.
    if (!this.#begin({ status: 200, fields: fields.without(isOfConnection) })) return 'answered'
    stream.tunnel = true
    this.#tunnel = new Http2Tunnel(offered, stream)
    return this.#tunnel
  }

  abort(): void {
    const stream = this.#stream
    if (stream.closed) return
    stream.connection.resetStream(stream.id, ERROR.internal)
  }

  /** @internal A client that asked for it, and has not begun to send, gets its 100. */
  continueIfExpected(): void {
    const expectation = this.request.fields.get('expect')
    if (expectation?.toLowerCase() !== '100-continue') return
    if (this.#stream.content?.receivedBytes === 0) this.inform(100, new Fields())
  }

  /** @internal Content went out. */
  drained(): void {
    if (this.#tunnel !== null) this.#tunnel.drained()
    if (!this.#wantsDrain || this.#stream.queuedBytes >= DRAINED_BYTES) return
    this.#wantsDrain = false
    this.onDrain?.()
  }

  /** @internal Nothing more will happen. */
  settle(complete: boolean): void {
    if (this.#settled) return
    this.#settled = true
    try {
      this.#tunnel?.settle(complete)
    } finally {
      this.onClose?.({ complete, bytesSent: this.#stream.sentBytes })
    }
  }

  #begin(head: ResponseHead): boolean {
    const stream = this.#stream
    if (stream.closed || stream.finalHeadQueued) return false
    const { status, fields } = head
    const block = encodeHeadBlock(status, fields, stream.connection.clock.date)
    if (block.length > MAX_HEAD_BLOCK_BYTES) {
      stream.connection.resetStream(stream.id, ERROR.internal)
      return false
    }
    const length = fields.get('content-length')
    if (length !== undefined) this.#owedBytes = parseContentLength(length) ?? -1
    this.#contentless = this.request.method === 'HEAD' || status === 204 || status === 304
    stream.finalHeadQueued = true
    // The head is all: END_STREAM goes with it.
    if (this.#contentless) stream.ended = true
    this.#queueHead(block)
    return true
  }

  #queueHead(block: Buffer): void {
    this.#stream.heads.push(block)
    this.#stream.schedule()
  }
}

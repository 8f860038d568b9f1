import type { Clock } from '../../http/clock.ts'
import { parseContentLength } from '../../http/field-syntax.ts'
import type { Fields } from '../../http/fields.ts'
import { isForbiddenTrailer } from '../../http/message/body-decoder.ts'
import { offeredAs, offeredProtocols } from '../../http/upgrade.ts'
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
import type { Output } from './output.ts'
import { fieldLine, fieldLines, statusLine } from './response-head.ts'
import type { UpgradedSocket } from './upgraded-socket.ts'

/** What an exchange needs of its connection. */
export interface ExchangeHost {
  readonly output: Output
  readonly clock: Clock
  /** Asked once, when the head of a final response is about to be written; `whole` when the response is given at once. */
  mayPersist(whole: boolean): boolean
  /** The response is in the output, to its last byte. */
  responseQueued(): void
  /** Leaves HTTP: writes the 101 for a protocol that was offered and hands over what follows, or says why it does not. */
  switchProtocols(protocol: string, fields: Fields): UpgradedSocket | SwitchRefusal
  /** The exchange was given up. */
  cut(headSent: boolean): void
}

const WAITING = 0
const STREAMING = 1
const QUEUED = 2
const CLOSED = 3
const SWITCHED = 4

const LENGTH = 0
const CHUNKED = 1
const UNTIL_CLOSE = 2
const NONE = 3

/** One request and its response on HTTP/1.x. The writer is the exchange itself: one object for both faces. */
export class Http1Exchange implements Exchange, ResponseWriter {
  readonly request: RequestHead
  readonly body: RequestBody | null
  readonly client: ClientFacts
  readonly startedAt: number
  readonly upgrade: readonly string[] | null
  onClose: ((end: ExchangeEnd) => void) | null = null
  onDrain: (() => void) | null = null
  /** Whether the connection goes on behind this exchange; settled with the head. */
  keepAlive: boolean
  readonly #host: ExchangeHost
  #state = WAITING
  #framing = NONE
  #remaining = 0
  #bodyBytes = 0
  #blocked = false
  #upgraded: UpgradedSocket | null = null

  constructor(
    host: ExchangeHost,
    request: RequestHead,
    body: RequestBody | null,
    client: ClientFacts,
    startedAt: number,
    keepAlive: boolean,
  ) {
    this.#host = host
    this.request = request
    this.body = body
    this.client = client
    this.startedAt = startedAt
    this.keepAlive = keepAlive
    // RFC 9110 §7.8: an HTTP/1.0 request has none, whatever it says.
    this.upgrade = request.httpVersion === '1.1' ? offeredProtocols(request.fields) : null
  }

  /** A final response has been begun, or HTTP left. */
  get responded(): boolean {
    return this.#state !== WAITING
  }

  get queued(): boolean {
    return this.#state === QUEUED
  }

  inform(status: number, fields: Fields): void {
    const unwanted = this.request.httpVersion === '1.0' || this.#state !== WAITING
    // RFC 9110 §15.2.2: 101 would end HTTP on this connection. An origin that informs without end is not followed.
    if (unwanted || status < 100 || status > 199 || status === 101 || this.#host.output.full) return
    this.#host.output.appendText(`${statusLine(status)}${fieldLines(fields)}\r\n`)
    this.#host.output.flushSoon()
  }

  respond(head: ResponseHead, body: Uint8Array | null): void {
    if (this.#state !== WAITING) return
    this.#writeHead(head, body === null ? 0 : body.length, true)
    if (body !== null) this.write(body)
    this.end()
  }

  respondStreaming(head: ResponseHead): ResponseWriter {
    if (this.#state === WAITING) this.#writeHead(head, undefined, false)
    return this
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== STREAMING) return false
    const output = this.#host.output
    const content = this.#framing === LENGTH ? this.#withinLength(chunk) : chunk
    if (this.#framing !== NONE && content.length > 0) {
      this.#bodyBytes += content.length
      if (this.#framing === CHUNKED) {
        output.appendText(`${content.length.toString(16)}\r\n`)
        output.append(content)
        output.appendText('\r\n')
      } else output.append(content)
      output.flushSoon()
    }
    this.#blocked = output.full
    return !this.#blocked
  }

  end(trailers?: Fields): void {
    if (this.#state !== STREAMING) return
    // The client was promised more: cutting the connection is the only way to tell it (RFC 9112 §8).
    if (this.#framing === LENGTH && this.#remaining > 0) {
      this.abort()
      return
    }
    if (this.#framing === CHUNKED) {
      const kept = trailers?.without(isForbiddenTrailer)
      this.#host.output.appendText(`0\r\n${kept === undefined ? '' : fieldLines(kept)}\r\n`)
    }
    this.#state = QUEUED
    this.#host.output.flushSoon()
    this.#host.responseQueued()
  }

  switchProtocols(protocol: string, fields: Fields): UpgradedConnection | SwitchRefusal {
    if (this.#state !== WAITING) return 'answered'
    if (this.upgrade === null) return 'not-asked'
    const offered = offeredAs(this.upgrade, protocol)
    // RFC 9110 §7.8: never to a protocol that the client did not name.
    if (offered === null) return 'not-offered'
    const switched = this.#host.switchProtocols(offered, fields)
    if (typeof switched === 'string') return switched
    this.#state = SWITCHED
    this.keepAlive = false
    this.#upgraded = switched
    return switched
  }

  abort(): void {
    if (this.#state === CLOSED) return
    this.#host.cut(this.#state !== WAITING)
  }

  /** Called by the connection when output has left: lets a writer that was stopped go on. */
  resumeWriter(): void {
    if (!this.#blocked || this.#state !== STREAMING || this.#host.output.full) return
    this.#blocked = false
    this.onDrain?.()
  }

  /** The end, whatever it was; called by the connection, once. */
  close(complete: boolean): void {
    if (this.#state === CLOSED) return
    this.#state = CLOSED
    if (this.#upgraded !== null) {
      const { how, bytesSent } = this.#upgraded.close()
      this.onClose?.({ complete: how === 'ended', bytesSent })
      return
    }
    const { waitingBytes, writingBytes } = this.#host.output
    // Short of the whole, what still waits here did not go out; a few bytes of it are framing.
    const unsent = complete ? 0 : waitingBytes + writingBytes
    const bytesSent = Math.max(0, this.#bodyBytes - unsent)
    this.onDrain = null
    this.onClose?.({ complete, bytesSent })
  }

  #withinLength(chunk: Uint8Array): Uint8Array {
    const content = chunk.length > this.#remaining ? chunk.subarray(0, this.#remaining) : chunk
    this.#remaining -= content.length
    return content
  }

  /** RFC 9112 §6: how the client will know where the body ends. */
  #writeHead(head: ResponseHead, wholeLength: number | undefined, whole: boolean): void {
    this.#state = STREAMING
    const { fields } = head
    const status = finalStatus(head.status)
    const http10 = this.request.httpVersion === '1.0'
    // Framing first: a stored head (`encodeHttp1Head`) has it there, and Age and Cache-Status at its end.
    let lines = statusLine(status)
    const declared = parseContentLength(fields.get('content-length') ?? '')
    const isHead = this.request.method === 'HEAD'
    if (isHead || status === 204 || status === 304) {
      this.#framing = NONE
      const length = declared ?? (isHead && wholeLength !== 0 ? wholeLength : undefined)
      // RFC 9110 §8.6: never with 204; with HEAD and 304 it tells of the response to GET.
      if (length !== undefined && status !== 204) {
        lines += `content-length: ${length}\r\n`
      }
    } else {
      const length = declared ?? wholeLength
      if (length !== undefined) {
        this.#framing = LENGTH
        this.#remaining = length
        lines += `content-length: ${length}\r\n`
      } else if (http10) {
        this.#framing = UNTIL_CLOSE
        this.keepAlive = false
      } else {
        this.#framing = CHUNKED
        lines += 'transfer-encoding: chunked\r\n'
      }
    }
    lines += fieldLines(fields)
    if (!fields.has('date')) lines += fieldLine('date', this.#host.clock.date)
    // Asked in any case: the host uses the occasion to clear the request body away.
    this.keepAlive = this.#host.mayPersist(whole) && this.keepAlive
    if (!this.keepAlive) lines += 'connection: close\r\n'
    else if (http10) lines += 'connection: keep-alive\r\n'
    this.#host.output.appendText(`${lines}\r\n`)
    this.#host.output.flushSoon()
  }
}

/** An interim status in a final response would make the client wait, or leave HTTP, on a connection that goes on. */
function finalStatus(status: number): number {
  return Number.isInteger(status) && status >= 200 && status <= 599 ? status : 500
}

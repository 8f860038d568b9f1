import type { Fields } from '../http/fields.ts'
import type { ClientCertificate } from './client-certificate.ts'
import type { SwitchRefusal, UpgradedConnection } from './upgraded-connection.ts'

/**
 * The whole of what the pipeline knows of a transport. HTTP/1.1, HTTP/2 and HTTP/3 each make these; anything that
 * works on one works on all. Every callback is called on the event loop, never from inside the call that set it.
 */

export type HttpVersion = '1.0' | '1.1' | '2' | '3'

export interface ClientFacts {
  /** The client's address; the one a trusted PROXY header names when the listener asks for that header. */
  readonly address: string
  readonly port: number
  /** The immediate peer of the socket, which differs from `address` behind a PROXY header. */
  readonly peerAddress: string
  readonly localPort: number
  readonly secure: boolean
  /** SNI in lower case; undefined on plain connections or when the client sent none. */
  readonly serverName: string | undefined
  readonly tlsVersion: string | undefined
  /** What the client has shown and we have verified, for the name in `serverName` alone. */
  readonly certificate: ClientCertificate | null
}

/** A request that its transport has found well-formed: names and values valid, framing unambiguous. */
export interface RequestHead {
  /** As received: methods are case-sensitive (RFC 9110 §9.1). */
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** Canonical `host` or `host:port` (`http/authority.ts`); '' for HTTP/1.0 without Host. */
  readonly authority: string
  /** Normalised `path?query` (`http/request-target.ts`), or `*`. */
  readonly target: string
  readonly httpVersion: HttpVersion
  /** Everything but pseudo-fields and Host; framing and hop-by-hop fields are still there. */
  readonly fields: Fields
}

export interface BodySink {
  /** The chunk is the sink's to keep. After a `pause()` made inside this call at most one more chunk comes. */
  onChunk(chunk: Buffer): void
  onEnd(trailers: Fields | null): void
  /** The client went away or broke the framing: the body will never be complete. Nothing follows. */
  onAbort(): void
}

export interface RequestBody {
  /** Content-Length in bytes, undefined when the framing does not say. */
  readonly length: number | undefined
  /**
   * Starts the flow, once; a client that waits for 100 (Continue) gets it now (RFC 9110 §10.1.1). Until then the
   * transport reads no more than its bounded window. A body never consumed is the transport's to discard or to cut.
   */
  consume(sink: BodySink): void
  pause(): void
  resume(): void
}

export interface ResponseHead {
  readonly status: number
  /**
   * End-to-end fields. The transport adds its own framing (Connection, Transfer-Encoding, pseudo-fields). With
   * Content-Length the transport holds the writer to it; without, it frames as its version can.
   */
  readonly fields: Fields
}

export interface ResponseWriter {
  /** False when the transport's bounded buffer is full: stop until `onDrain`. The transport owns the chunk until then. */
  write(chunk: Uint8Array): boolean
  end(trailers?: Fields): void
  onDrain: (() => void) | null
}

export interface ExchangeEnd {
  /** The whole response was handed to the kernel. */
  readonly complete: boolean
  /** Response body bytes that went out, without framing. */
  readonly bytesSent: number
}

export interface Exchange {
  readonly request: RequestHead
  /** null when the request has no body. */
  readonly body: RequestBody | null
  readonly client: ClientFacts
  /** `performance.now()` when the request head was complete, in ms. */
  readonly startedAt: number
  /**
   * The protocols that the client offers to switch to, as spelt, best first (RFC 9110 §7.8); null when none. A request
   * that is not switched is a request like others: Upgrade is hop-by-hop, and is not to be passed on.
   */
  readonly upgrade: readonly string[] | null
  /**
   * Called exactly once, when nothing more will happen: the response went out whole, the client cancelled or left,
   * or we gave up. The pipeline stops working for an exchange whose end came early.
   */
  onClose: ((end: ExchangeEnd) => void) | null

  /** An interim response (1xx but 101). Ignored for HTTP/1.0 (RFC 9110 §15.2) and after `respond`. */
  inform(status: number, fields: Fields): void
  /** The final response, complete; `body` null when it has none. The transport sends no body for HEAD, 204 and 304. */
  respond(head: ResponseHead, body: Uint8Array | null): void
  /** The final response whose body follows. */
  respondStreaming(head: ResponseHead): ResponseWriter
  /**
   * Answers that the protocol is switched, with `fields` (the transport adds Connection and Upgrade), and hands over what
   * is left of the connection; or says why it cannot be, with nothing written. Only a protocol that was offered can be
   * chosen, and only when the content of the request has been consumed to its end. The exchange ends with the connection.
   */
  switchProtocols(protocol: string, fields: Fields): UpgradedConnection | SwitchRefusal
  /** Ends the exchange in a way that the client can tell from a complete response (RST_STREAM, connection cut). */
  abort(): void
}

/**
 * The synchronous door for memory hits (GET and HEAD without body): one view per connection, reused, valid only
 * during the call.
 */
export interface RequestView {
  readonly method: 'GET' | 'HEAD'
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly target: string
  readonly httpVersion: HttpVersion
  readonly acceptEncoding: string | undefined
  readonly ifNoneMatch: string | undefined
  readonly ifModifiedSince: string | undefined
  /**
   * True when the request carries a field that always needs the general door: Range, If-Range, If-Match,
   * If-Unmodified-Since, Cache-Control, Pragma, Expect, Upgrade, TE other than trailers, or Connection options
   * beyond keep-alive and close.
   */
  readonly unusual: boolean
  /** The whole field section, for Vary and for keys by field. May be materialised on demand. */
  readonly fields: Fields
}

export interface ReadyAnswer {
  readonly status: number
  /**
   * Octets as Latin-1 text, which costs less memory than buffers when there are many. Only the one for the protocol of
   * the request is set. HTTP/1.1: head from the status line on, Date included; without Age, Cache-Status, Connection and
   * the final CRLF.
   */
  readonly http1Head: string
  /** HPACK block without dynamic table references; likewise without age and cache-status. */
  readonly hpackHead: string
  /** null for 304; for HEAD the transport leaves the body out by itself. */
  readonly body: Buffer | null
  /** Epoch ms. Age in seconds = `floor((clock.ms - ageBaseAt) / 1000)`, at least 0. */
  readonly ageBaseAt: number
  /** Epoch ms. Remaining freshness lifetime in seconds = `ceil((freshUntilAt - clock.ms) / 1000)`. */
  readonly freshUntilAt: number
}

/** Where transports hand requests in. */
export interface FrontDoor {
  /** A ready answer, or null: then the same request goes to `handle`. Never throws. */
  lookUp(view: RequestView, client: ClientFacts): ReadyAnswer | null
  /** The ready answer was queued to the socket: `bytes` of body. Writes log and metrics. */
  answered(
    view: RequestView,
    client: ClientFacts,
    answer: ReadyAnswer,
    bytes: number,
    startedAt: number,
  ): void
  /** The general door. Never throws. */
  handle(exchange: Exchange): void
  /** A request that was refused before it became an exchange; for log and metrics only, the transport answers it. */
  refused(client: ClientFacts, status: number, reason: string): void
}

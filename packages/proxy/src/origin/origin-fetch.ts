import type { Fields } from '../http/fields.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type { RequestBody } from '../transport/exchange.ts'

/** One request to an origin, ready to be sent: end-to-end fields, Host included; the client adds framing alone. */
export interface OriginRequest {
  readonly method: string
  /** `path?query`. */
  readonly target: string
  readonly fields: Fields
  readonly body: RequestBody | null
}

/**
 * 'certain': an end that is cut off is noticed. 'until-close': the body ends with a connection whose end an attacker
 * can bring about; Node does not tell whether TLS was closed in order (RFC 9112 §9.8).
 */
export type ResponseFraming = 'certain' | 'until-close'

/** The callbacks of one fetch, in this order: any `onInterim`, then `onHead`, any `onChunk`, `onEnd`; or `onError` at any point, last. */
export interface OriginHandler {
  /** 1xx but 101. */
  onInterim(status: number, fields: Fields): void
  /** `fields` as received, framing fields of the connection among them. */
  onHead(status: number, fields: Fields, originName: string, framing: ResponseFraming): void
  /** The chunk is the handler's to keep. */
  onChunk(chunk: Buffer): void
  onEnd(trailers: Fields | null): void
  /** Nothing follows. After `onHead` it means that the body was cut. */
  onError(error: ProxyError): void
}

export interface OriginFetch {
  /** No more `onChunk` until `resume`, but for one under way. */
  pause(): void
  resume(): void
  /** Ends the fetch without another callback; the connection is not used again unless the answer was complete. */
  abort(): void
}

/** The origins of one tenant. */
export interface OriginGroup {
  fetch(request: OriginRequest, handler: OriginHandler): OriginFetch
  close(): void
}

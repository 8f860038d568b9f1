import type { Fields } from '../http/fields.ts'
import { isSafe } from '../http/methods.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import { Deadline } from '../transport/timer-wheel.ts'
import type { OriginConnection } from './origin-connection.ts'
import type { OriginFetch, OriginHandler, OriginRequest } from './origin-fetch.ts'
import type { OriginPool } from './origin-pool.ts'

/** One fetch on its way through the pool, and its one retry. */
export class PooledFetch implements OriginFetch, OriginHandler {
  /** The retry goes over a new connection: a second stale one would prove nothing. */
  needsFresh = false
  readonly #pool: OriginPool
  readonly #request: OriginRequest
  readonly #handler: OriginHandler
  readonly #queued: Deadline
  #connection: OriginConnection | null = null
  #ended = false

  constructor(pool: OriginPool, request: OriginRequest, handler: OriginHandler) {
    this.#pool = pool
    this.#request = request
    this.#handler = handler
    this.#queued = new Deadline(pool.wheel, () => this.onError(pool.overloaded()))
  }

  get ended(): boolean {
    return this.#ended
  }

  /** It stands in the queue, for so long at most. */
  wait(ms: number): void {
    this.#queued.arm(ms)
  }

  stopWaiting(): void {
    this.#queued.disarm()
  }

  send(connection: OriginConnection): void {
    this.#queued.release()
    this.#connection = connection
    connection.send(this.#request, this)
  }

  pause(): void {
    this.#connection?.pause()
  }

  resume(): void {
    this.#connection?.resume()
  }

  abort(): void {
    if (this.#ended) return
    this.#end()?.destroy()
  }

  onInterim(status: number, fields: Fields): void {
    if (!this.#ended) this.#handler.onInterim(status, fields)
  }

  onHead(...head: Parameters<OriginHandler['onHead']>): void {
    if (!this.#ended) this.#handler.onHead(...head)
  }

  onChunk(chunk: Buffer): void {
    if (!this.#ended) this.#handler.onChunk(chunk)
  }

  onEnd(trailers: Fields | null): void {
    if (this.#ended) return
    this.#end()
    this.#handler.onEnd(trailers)
  }

  onError(error: ProxyError): void {
    if (this.#ended) return
    if (this.#metClosingConnection(error)) {
      this.#connection = null
      this.needsFresh = true
      this.#pool.assign(this)
      return
    }
    this.#end()
    this.#handler.onError(error)
  }

  /** RFC 9112 §9.3.1: a connection that was used before may have been closing when the request was sent. */
  #metClosingConnection(error: ProxyError): boolean {
    const connection = this.#connection
    return (
      error.code === 'ORIGIN_CLOSED' &&
      connection !== null &&
      connection.served > 0 &&
      !connection.answered &&
      !this.needsFresh &&
      this.#request.body === null &&
      isSafe(this.#request.method)
    )
  }

  /** The connection that it was on. */
  #end(): OriginConnection | null {
    this.#ended = true
    this.#queued.release()
    this.#pool.forget(this)
    const connection = this.#connection
    this.#connection = null
    return connection
  }
}

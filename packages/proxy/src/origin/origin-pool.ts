import { isSafe } from '../http/methods.ts'
import { ProxyError } from '../http/proxy-error.ts'
import { Deadline, type TimerWheel } from '../transport/timer-wheel.ts'
import {
  type ConnectionOwner,
  type ConnectionTarget,
  OriginConnection,
} from './origin-connection.ts'
import type { OriginFetch, OriginHandler, OriginRequest } from './origin-fetch.ts'
import type { OriginResolver } from './resolver.ts'

export interface PoolOptions {
  readonly target: ConnectionTarget
  readonly connectMs: number
  readonly firstByteMs: number
  readonly idleMs: number
  readonly maxConnections: number
  readonly wheel: TimerWheel
  readonly resolver: OriginResolver
  /** Told of every attempt to connect: null when it succeeded. */
  onConnect(error: ProxyError | null): void
}

/** An idle connection is closed before most origins would close it: fewer requests meet a closing one. */
const KEEP_ALIVE_MS = 55_000
/** Requests that may wait for a connection, per connection allowed. */
const QUEUE_FACTOR = 4

/** The keep-alive connections to one origin: newest idle first, a bound on all, a bounded queue before them. */
export class OriginPool implements ConnectionOwner {
  readonly #options: PoolOptions
  readonly #idle: { connection: OriginConnection; expiry: Deadline }[] = []
  readonly #queue: PooledFetch[] = []
  #open = 0
  #nextAddress = 0
  readonly #fetches = new Map<OriginConnection, PooledFetch>()

  constructor(options: PoolOptions) {
    this.#options = options
  }

  fetch(request: OriginRequest, handler: OriginHandler): OriginFetch {
    const fetch = new PooledFetch(this, request, handler)
    // Callbacks never come from inside this call.
    process.nextTick(() => this.assign(fetch))
    return fetch
  }

  get queueTimeoutMs(): number {
    return this.#options.connectMs
  }

  get wheel(): TimerWheel {
    return this.#options.wheel
  }

  /** Gives the fetch an idle connection, a new one, or a place in the queue. */
  assign(fetch: PooledFetch): void {
    if (fetch.ended) return
    const { maxConnections } = this.#options
    const idle = fetch.needsFresh ? undefined : this.#idle.pop()
    if (idle !== undefined) {
      idle.expiry.release()
      this.#send(fetch, idle.connection)
    } else if (this.#open < maxConnections || this.#closeIdle()) this.#connect(fetch)
    else if (this.#queue.length < maxConnections * QUEUE_FACTOR) {
      this.#queue.push(fetch)
      fetch.wait()
    } else fetch.fail(this.overloaded())
  }

  overloaded(): ProxyError {
    const { maxConnections, target } = this.#options
    return new ProxyError('ORIGIN_OVERLOADED', [maxConnections, target.name])
  }

  #closeIdle(): boolean {
    const oldest = this.#idle.shift()
    if (oldest === undefined) return false
    oldest.expiry.release()
    oldest.connection.destroy()
    return true
  }

  #connect(fetch: PooledFetch): void {
    const { target, resolver, wheel } = this.#options
    this.#open++
    const connection = new OriginConnection(this, target, this.#options, wheel)
    const resolving = new Deadline(wheel, () => connected(this.#timeoutError()))
    resolving.arm(this.#options.connectMs)
    let settled = false
    const connected = (error: ProxyError | null) => {
      if (settled) return
      settled = true
      resolving.release()
      this.#options.onConnect(error)
      if (error !== null) {
        connection.destroy()
        fetch.fail(error)
      } else if (fetch.ended) this.idle(connection)
      else this.#send(fetch, connection)
    }
    resolver.resolve(target.host).then(
      (addresses) => {
        if (settled) return
        // Each attempt takes the next address, so that one that is dead costs a try, not the origin.
        connection.connect(addresses[this.#nextAddress++ % addresses.length], connected)
      },
      (cause: unknown) => connected(new ProxyError('ORIGIN_NAME_UNRESOLVED', [target.host], cause)),
    )
  }

  #timeoutError(): ProxyError {
    const { target, connectMs } = this.#options
    return new ProxyError('ORIGIN_CONNECT_TIMEOUT', [target.name, connectMs])
  }

  #send(fetch: PooledFetch, connection: OriginConnection): void {
    this.#fetches.set(connection, fetch)
    fetch.send(connection)
  }

  idle(connection: OriginConnection): void {
    this.#fetches.delete(connection)
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.ended) continue
      this.#send(next, connection)
      return
    }
    const expiry = new Deadline(this.#options.wheel, () => connection.destroy())
    expiry.arm(KEEP_ALIVE_MS)
    this.#idle.push({ connection, expiry })
  }

  closed(connection: OriginConnection): void {
    this.#open--
    this.#fetches.delete(connection)
    const at = this.#idle.findIndex((idle) => idle.connection === connection)
    if (at !== -1) {
      const [{ expiry }] = this.#idle.splice(at, 1)
      expiry.release()
    }
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.ended) continue
      process.nextTick((fetch: PooledFetch) => this.assign(fetch), next)
      return
    }
  }

  /** Ends what is idle; fetches under way finish, and their connections end with them. */
  close(): void {
    for (const { connection, expiry } of this.#idle.splice(0)) {
      expiry.release()
      connection.destroy()
    }
  }
}

/** One fetch on its way through the pool, and its one retry. */
class PooledFetch implements OriginFetch, OriginHandler {
  ended = false
  /** The retry goes over a new connection: a second stale one would prove nothing. */
  needsFresh = false
  readonly #pool: OriginPool
  readonly #request: OriginRequest
  readonly #handler: OriginHandler
  readonly #queued: Deadline
  #connection: OriginConnection | null = null
  #retried = false

  constructor(pool: OriginPool, request: OriginRequest, handler: OriginHandler) {
    this.#pool = pool
    this.#request = request
    this.#handler = handler
    this.#queued = new Deadline(pool.wheel, () => this.fail(pool.overloaded()))
  }

  wait(): void {
    this.#queued.arm(this.#pool.queueTimeoutMs)
  }

  send(connection: OriginConnection): void {
    this.#queued.release()
    this.#connection = connection
    connection.send(this.#request, this)
  }

  fail(error: ProxyError): void {
    if (this.ended) return
    this.ended = true
    this.#queued.release()
    this.#handler.onError(error)
  }

  pause(): void {
    this.#connection?.pause()
  }

  resume(): void {
    this.#connection?.resume()
  }

  abort(): void {
    if (this.ended) return
    this.ended = true
    this.#queued.release()
    this.#connection?.destroy()
  }

  onInterim(status: number, fields: Parameters<OriginHandler['onInterim']>[1]): void {
    if (!this.ended) this.#handler.onInterim(status, fields)
  }

  onHead(...head: Parameters<OriginHandler['onHead']>): void {
    if (!this.ended) this.#handler.onHead(...head)
  }

  onChunk(chunk: Buffer): void {
    if (!this.ended) this.#handler.onChunk(chunk)
  }

  onEnd(trailers: Parameters<OriginHandler['onEnd']>[0]): void {
    if (this.ended) return
    this.ended = true
    this.#connection = null
    this.#handler.onEnd(trailers)
  }

  onError(error: ProxyError): void {
    const connection = this.#connection
    this.#connection = null
    // RFC 9112 §9.3.1: a connection that was used before may have been closing when the request was sent.
    const retriable =
      error.code === 'ORIGIN_CLOSED' &&
      connection !== null &&
      connection.served > 0 &&
      !connection.answered &&
      !this.#retried &&
      this.#request.body === null &&
      isSafe(this.#request.method)
    if (!retriable || this.ended) return this.fail(error)
    this.#retried = true
    this.needsFresh = true
    this.#pool.assign(this)
  }
}

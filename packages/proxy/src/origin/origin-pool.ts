import { ProxyError } from '../http/proxy-error.ts'
import { Deadline, type TimerWheel } from '../transport/timer-wheel.ts'
import { type DialOptions, dial } from './dial.ts'
import {
  type ConnectionOwner,
  type ConnectionTimeouts,
  OriginConnection,
} from './origin-connection.ts'
import type { OriginFetch, OriginHandler, OriginRequest } from './origin-fetch.ts'
import { PooledFetch } from './pooled-fetch.ts'

export interface PoolOptions extends DialOptions, ConnectionTimeouts {
  readonly maxConnections: number
  /** Told of every attempt to connect: null when it succeeded. */
  onConnect(error: ProxyError | null): void
}

interface IdleConnection {
  readonly connection: OriginConnection
  readonly expiry: Deadline
}

/** An idle connection is closed before most origins would close it: fewer requests meet a closing one. */
const KEEP_ALIVE_MS = 55_000
/** Requests that may wait for a connection, per connection allowed. */
const QUEUE_FACTOR = 4

/** The keep-alive connections to one origin: newest idle first, a bound on all, a bounded queue before them. */
export class OriginPool implements ConnectionOwner {
  readonly #options: PoolOptions
  readonly #idle: IdleConnection[] = []
  /** In order of arrival. */
  readonly #queue = new Set<PooledFetch>()
  /** Connections there are and that are being made. */
  #open = 0
  #dialled = 0
  #closed = false

  constructor(options: PoolOptions) {
    this.#options = options
  }

  get wheel(): TimerWheel {
    return this.#options.wheel
  }

  fetch(request: OriginRequest, handler: OriginHandler): OriginFetch {
    const fetch = new PooledFetch(this, request, handler)
    // Callbacks never come from inside this call.
    process.nextTick(() => this.assign(fetch))
    return fetch
  }

  /** Gives the fetch an idle connection, a new one, or a place in the queue. */
  assign(fetch: PooledFetch): void {
    if (fetch.ended) return
    const { maxConnections, connectMs } = this.#options
    const idle = fetch.needsFresh ? undefined : this.#idle.pop()
    if (idle !== undefined) {
      idle.expiry.release()
      fetch.send(idle.connection)
    } else if (this.#open < maxConnections || this.#closeOldestIdle()) this.#connect(fetch)
    else if (this.#queue.size < maxConnections * QUEUE_FACTOR) {
      this.#queue.add(fetch)
      fetch.wait(connectMs)
    } else fetch.onError(this.overloaded())
  }

  /** The fetch has ended, wherever it stood. */
  forget(fetch: PooledFetch): void {
    this.#queue.delete(fetch)
  }

  overloaded(): ProxyError {
    const { maxConnections, target } = this.#options
    return new ProxyError('ORIGIN_OVERLOADED', [maxConnections, target.name])
  }

  #closeOldestIdle(): boolean {
    const oldest = this.#idle[0]
    oldest?.connection.destroy()
    return oldest !== undefined
  }

  #connect(fetch: PooledFetch): void {
    const { target, wheel, onConnect } = this.#options
    this.#open++
    dial(this.#options, this.#dialled++, (result) => {
      if (result instanceof ProxyError) {
        onConnect(result)
        this.#open--
        fetch.onError(result)
        this.#serveQueue()
        return
      }
      onConnect(null)
      const connection = new OriginConnection(this, result, target, this.#options, wheel)
      if (fetch.ended) this.idle(connection)
      else fetch.send(connection)
    })
  }

  idle(connection: OriginConnection): void {
    const next = this.#takeQueued()
    if (next !== undefined) return next.send(connection)
    if (this.#closed) return connection.destroy()
    const expiry = new Deadline(this.#options.wheel, () => connection.destroy())
    expiry.arm(KEEP_ALIVE_MS)
    this.#idle.push({ connection, expiry })
  }

  closed(connection: OriginConnection): void {
    this.#open--
    const at = this.#idle.findIndex((idle) => idle.connection === connection)
    if (at !== -1) this.#idle.splice(at, 1)[0].expiry.release()
    this.#serveQueue()
  }

  /** There is room for a connection again. */
  #serveQueue(): void {
    if (this.#queue.size === 0) return
    process.nextTick(() => {
      const next = this.#takeQueued()
      if (next !== undefined) this.assign(next)
    })
  }

  #takeQueued(): PooledFetch | undefined {
    for (const next of this.#queue) {
      this.#queue.delete(next)
      next.stopWaiting()
      return next
    }
    return undefined
  }

  /** Ends what is idle; fetches under way finish, and their connections end with them. */
  close(): void {
    this.#closed = true
    for (const { connection } of [...this.#idle]) connection.destroy()
  }
}

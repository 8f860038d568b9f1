import { chmodSync, renameSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { OriginFetch, OriginHandler, OriginRequest } from '../origin/origin-fetch.ts'
import { OriginPool } from '../origin/origin-pool.ts'
import type { OriginResolver } from '../origin/resolver.ts'
import type { EngineConnection } from '../transport/connection-registry.ts'
import type { TimerWheel } from '../transport/timer-wheel.ts'
import { PeerFetch } from './peer-fetch.ts'

export interface PeersOptions {
  /** Folder of the workers' sockets, open to this proxy alone. */
  readonly folder: string
  readonly slot: number
  readonly slots: number
  readonly wheel: TimerWheel
  readonly resolver: OriginResolver
  /** A connection of another worker. */
  serve(socket: Socket): EngineConnection
}

/** Connections of one worker to one other. */
const MAX_CONNECTIONS = 512
/** An owner that fetches from a slow origin: the origin's own time-outs end that sooner. */
const FIRST_BYTE_MS = 120_000
const IDLE_MS = 120_000

/**
 * Every key has one worker of the machine that fetches it, so that a thousand misses on all workers are one origin
 * request. The others read its answer as it comes, over a socket of the machine; what they get they keep in their own
 * memory.
 */
export class Peers {
  readonly #options: PeersOptions
  readonly #pools: readonly (OriginPool | null)[]
  readonly #server: Server
  readonly #connections = new Set<EngineConnection>()
  readonly #emptied = Promise.withResolvers<void>()
  #closed = false

  constructor(options: PeersOptions) {
    const { folder, slot, slots, wheel, resolver } = options
    this.#options = options
    this.#pools = Array.from({ length: slots }, (_, index) =>
      index === slot
        ? null
        : new OriginPool({
            target: {
              name: `worker ${index}`,
              authority: 'larder',
              host: 'larder',
              port: 0,
              secure: null,
              socketPath: socketPath(folder, index),
            },
            connectMs: 1_000,
            firstByteMs: FIRST_BYTE_MS,
            idleMs: IDLE_MS,
            maxConnections: MAX_CONNECTIONS,
            wheel,
            resolver,
            onConnect() {},
          }),
    )
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
  }

  /** Settles when the others can connect. */
  listen(): Promise<void> {
    const path = socketPath(this.#options.folder, this.#options.slot)
    // Bound under a name of its own, which closing removes, and moved to the known one: a worker that is being replaced
    // must not take its successor's socket away.
    const ownPath = `${path}.${process.pid}`
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      // Exclusive: node:cluster would have the primary accept, and what it hands to a worker that dies is never answered.
      this.#server.listen({ path: ownPath, exclusive: true }, () => {
        // The folder lets nobody else in; within it the workers may run as another user than the one that binds.
        chmodSync(ownPath, 0o666)
        renameSync(ownPath, path)
        this.#server.off('error', reject)
        this.#server.on('error', () => undefined)
        resolve()
      })
    })
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined)
    const connection = this.#options.serve(socket)
    this.#connections.add(connection)
    socket.on('close', () => {
      this.#connections.delete(connection)
      if (this.#closed && this.#connections.size === 0) this.#emptied.resolve()
    })
  }

  /** The worker that fetches this key; null when it is this one. */
  ownerOf(key: string): number | null {
    const owner = crc32(key) % this.#options.slots
    return owner === this.#options.slot ? null : owner
  }

  /**
   * Asks the owner. While it cannot be reached it is given the time to be replaced; after that `instead` is asked, so that
   * a worker that does not come back costs an origin request, not an answer.
   */
  fetch(
    owner: number,
    request: OriginRequest,
    handler: OriginHandler,
    instead: (handler: OriginHandler) => OriginFetch,
  ): OriginFetch {
    const pool = this.#pools[owner]
    if (pool === null || pool === undefined || this.#closed) return instead(handler)
    const path = socketPath(this.#options.folder, owner)
    return new PeerFetch({ pool, socketPath: path, request, handler, instead })
  }

  /** Settles when the others have finished what they read from here; how long that may take the caller knows. */
  drain(): Promise<void> {
    this.#closed = true
    this.#server.close()
    for (const connection of this.#connections) connection.drain()
    for (const pool of this.#pools) pool?.close()
    if (this.#connections.size === 0) this.#emptied.resolve()
    return this.#emptied.promise
  }
}

export function socketPath(folder: string, slot: number): string {
  return join(folder, `worker-${slot}.sock`)
}

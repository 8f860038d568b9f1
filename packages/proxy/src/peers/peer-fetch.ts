import { connect } from 'node:net'
import { crc32 } from 'node:zlib'
import { isStrong } from '../http/entity-tag.ts'
import type { Fields } from '../http/fields.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type { OriginFetch, OriginHandler, OriginRequest } from '../origin/origin-fetch.ts'
import type { OriginPool } from '../origin/origin-pool.ts'

/** A worker that died is back within a second, as a rule; whoever asked it tries again this often. */
const RETRY_MS = 100
const MAX_RETRIES = 12

export interface PeerFetchOptions {
  /** Connections to the worker that is asked. */
  readonly pool: OriginPool
  /** Where it accepts them. */
  readonly socketPath: string
  readonly request: OriginRequest
  readonly handler: OriginHandler
  /** Asks the origin, for when the worker does not come back. */
  instead(handler: OriginHandler): OriginFetch
}

/**
 * One request to another worker. When that worker dies, it is asked of its replacement; an answer that had begun goes
 * on where it stopped if it is still the same representation, so that a death costs the clients of the dead worker.
 */
export class PeerFetch implements OriginFetch, OriginHandler {
  readonly #options: PeerFetchOptions
  #fetch: OriginFetch
  #retries = 0
  #aborted = false
  #paused = false
  #answered = false
  /** Of the answer that has begun; null when nothing says what it is. */
  #identity: string | null = null
  #delivered = new Extent()
  /** The beginning of an answer that is repeated, and why it is; null while nothing is. */
  #repeated: Extent | null = null
  #cause: ProxyError | null = null

  constructor(options: PeerFetchOptions) {
    this.#options = options
    this.#fetch = options.pool.fetch(options.request, this)
  }

  pause(): void {
    this.#paused = true
    if (this.#repeated === null) this.#fetch.pause()
  }

  resume(): void {
    this.#paused = false
    this.#fetch.resume()
  }

  abort(): void {
    this.#aborted = true
    this.#fetch.abort()
  }

  onInterim(status: number, fields: Fields): void {
    if (!this.#answered) this.#options.handler.onInterim(status, fields)
  }

  onHead(...head: Parameters<OriginHandler['onHead']>): void {
    const identity = identityOf(head[0], head[1])
    if (this.#repeated === null) {
      this.#answered = true
      this.#cause = null
      this.#identity = identity
      this.#options.handler.onHead(...head)
    } else if (identity !== this.#identity) this.#giveUp()
    else this.#takeRepeated(NOTHING)
  }

  onChunk(chunk: Buffer): void {
    if (this.#repeated !== null) return this.#takeRepeated(chunk)
    if (this.#identity !== null) this.#delivered.add(chunk)
    this.#options.handler.onChunk(chunk)
  }

  /** What the handler has is not given again; what follows it is, if all before it was the same. */
  #takeRepeated(chunk: Buffer): void {
    const repeated = this.#repeated ?? raise()
    const known = chunk.subarray(0, this.#delivered.bytes - repeated.bytes)
    repeated.add(known)
    if (repeated.bytes < this.#delivered.bytes) return
    if (repeated.crc !== this.#delivered.crc) return this.#giveUp()
    this.#repeated = null
    this.#cause = null
    if (this.#paused) this.#fetch.pause()
    if (chunk.length > known.length) this.onChunk(chunk.subarray(known.length))
  }

  onEnd(trailers: Fields | null): void {
    // Shorter than it was the first time.
    if (this.#repeated !== null) this.#giveUp()
    else this.#options.handler.onEnd(trailers)
  }

  onError(error: ProxyError): void {
    if (this.#aborted) return
    this.#cause ??= error
    if (this.#retries > MAX_RETRIES) this.#options.handler.onError(error)
    else if (!this.#answered || this.#repeated !== null) this.#retrySoon()
    else if (this.#identity === null) this.#giveUp()
    else this.#askWhetherItLives()
  }

  /** An owner that lives has cut its answer because its origin did: asked again, it would ask the origin again. */
  #askWhetherItLives(): void {
    const probe = connect(this.#options.socketPath)
    probe.once('connect', () => {
      probe.destroy()
      if (!this.#aborted) this.#giveUp()
    })
    probe.once('error', () => this.#retrySoon())
  }

  #retrySoon(): void {
    if (this.#answered) this.#repeated = new Extent()
    setTimeout(() => {
      if (this.#aborted) return
      const { pool, request, instead } = this.#options
      this.#fetch = ++this.#retries > MAX_RETRIES ? instead(this) : pool.fetch(request, this)
    }, RETRY_MS)
  }

  /** What has begun stays cut. */
  #giveUp(): void {
    this.abort()
    this.#options.handler.onError(this.#cause ?? raise())
  }
}

/** How much of a body, and what. */
class Extent {
  bytes = 0
  crc = 0

  add(chunk: Buffer): void {
    this.bytes += chunk.length
    this.crc = crc32(chunk, this.crc)
  }
}

const NOTHING = Buffer.alloc(0)

/** The same for two answers with the same bytes (RFC 9110 §8.8.1); null when none of its fields promises that. */
function identityOf(status: number, fields: Fields): string | null {
  const tag = fields.get('etag')
  if (tag === undefined || !isStrong(tag)) return null
  const named = ['content-length', 'content-range', 'content-encoding', 'content-type']
  return JSON.stringify([status, tag, ...named.map((name) => fields.get(name) ?? '')])
}

function raise(): never {
  throw new Error('a fetch from another worker was used out of order')
}

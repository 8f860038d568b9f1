import type { TenantConfig } from '../config/config.ts'
import { isSafe } from '../http/methods.ts'
import { ProxyError } from '../http/proxy-error.ts'
import type { TimerWheel } from '../transport/timer-wheel.ts'
import type { OriginFetch, OriginGroup, OriginHandler, OriginRequest } from './origin-fetch.ts'
import { OriginPool } from './origin-pool.ts'
import type { OriginResolver } from './resolver.ts'

/** An origin that cannot be connected to is left alone for this long, doubling while it stays so. */
const FIRST_DOWN_MS = 500
const MAX_DOWN_MS = 10_000
/** Failures in a row before an origin counts as down. */
const FAILURES_UNTIL_DOWN = 2

interface Member {
  readonly name: string
  readonly backup: boolean
  readonly pool: OriginPool
  failures: number
  /** ms on the wheel's clock. */
  downUntil: number
  downMs: number
}

/**
 * The origins of one tenant: the others take turns, backups stand in when none of them can be connected to. While all
 * are down requests fail at once, but for one try per period that finds out.
 */
export class TenantOrigins implements OriginGroup {
  readonly #tenantId: string
  readonly #members: readonly Member[]
  readonly #wheel: TimerWheel
  #turn = 0

  constructor(config: TenantConfig, wheel: TimerWheel, resolver: OriginResolver) {
    this.#tenantId = config.id
    this.#wheel = wheel
    this.#members = config.origins.map((origin) => {
      const url = new URL(origin.url)
      const secure = url.protocol === 'https:'
      const member: Member = {
        name: origin.name,
        backup: origin.backup,
        failures: 0,
        downUntil: 0,
        downMs: FIRST_DOWN_MS,
        pool: new OriginPool({
          target: {
            name: origin.name,
            authority: url.host,
            host: url.hostname.replace(/^\[|\]$/g, ''),
            port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
            secure,
          },
          ...config.originTimeouts,
          maxConnections: config.originMaxConnections,
          wheel,
          resolver,
          onConnect: (error) => this.#noteConnect(member, error),
        }),
      }
      return member
    })
  }

  fetch(request: OriginRequest, handler: OriginHandler): OriginFetch {
    return new GroupFetch(this, request, handler)
  }

  get size(): number {
    return this.#members.length
  }

  /** The next origin to ask, without those already tried; undefined when none may be asked now. */
  choose(tried: readonly Member[]): Member | undefined {
    const now = this.#wheel.now()
    for (const backup of [false, true]) {
      const able = this.#members.filter(
        (member) => member.backup === backup && member.downUntil <= now && !tried.includes(member),
      )
      if (able.length === 0) continue
      const chosen = able[this.#turn++ % able.length]
      // Only one request finds out whether an origin is back; the next period is for the next.
      if (chosen.failures >= FAILURES_UNTIL_DOWN) chosen.downUntil = now + chosen.downMs
      return chosen
    }
    return undefined
  }

  downError(): ProxyError {
    const now = this.#wheel.now()
    const soonest = Math.min(...this.#members.map((member) => member.downUntil))
    return new ProxyError('ORIGIN_DOWN', [this.#tenantId, Math.max(0, Math.round(soonest - now))])
  }

  #noteConnect(member: Member, error: ProxyError | null): void {
    if (error === null) {
      member.failures = 0
      member.downUntil = 0
      member.downMs = FIRST_DOWN_MS
      return
    }
    member.failures++
    if (member.failures < FAILURES_UNTIL_DOWN) return
    member.downUntil = this.#wheel.now() + member.downMs
    member.downMs = Math.min(member.downMs * 2, MAX_DOWN_MS)
  }

  close(): void {
    for (const { pool } of this.#members) pool.close()
  }
}

/** Connecting failed: nothing of the request has gone out, another origin can be asked. */
const BEFORE_SENDING: ReadonlySet<string> = new Set([
  'ORIGIN_REFUSED',
  'ORIGIN_UNREACHABLE',
  'ORIGIN_NAME_UNRESOLVED',
  'ORIGIN_CONNECT_TIMEOUT',
  'ORIGIN_TLS',
  'ORIGIN_CERTIFICATE',
  'ORIGIN_OVERLOADED',
])

class GroupFetch implements OriginFetch, OriginHandler {
  readonly #group: TenantOrigins
  readonly #request: OriginRequest
  readonly #handler: OriginHandler
  readonly #tried: Member[] = []
  #fetch: OriginFetch | null = null
  #ended = false
  #lastError: ProxyError | null = null

  constructor(group: TenantOrigins, request: OriginRequest, handler: OriginHandler) {
    this.#group = group
    this.#request = request
    this.#handler = handler
    this.#ask()
  }

  #ask(): void {
    const member = this.#group.choose(this.#tried)
    if (member === undefined) {
      const error = this.#lastError ?? this.#group.downError()
      process.nextTick(() => this.#fail(error))
      return
    }
    this.#tried.push(member)
    this.#fetch = member.pool.fetch(this.#request, this)
  }

  #fail(error: ProxyError): void {
    if (this.#ended) return
    this.#ended = true
    this.#handler.onError(error)
  }

  pause(): void {
    this.#fetch?.pause()
  }

  resume(): void {
    this.#fetch?.resume()
  }

  abort(): void {
    this.#ended = true
    this.#fetch?.abort()
  }

  onInterim(...interim: Parameters<OriginHandler['onInterim']>): void {
    this.#handler.onInterim(...interim)
  }

  onHead(...head: Parameters<OriginHandler['onHead']>): void {
    this.#handler.onHead(...head)
  }

  onChunk(chunk: Buffer): void {
    this.#handler.onChunk(chunk)
  }

  onEnd(trailers: Parameters<OriginHandler['onEnd']>[0]): void {
    this.#handler.onEnd(trailers)
  }

  onError(error: ProxyError): void {
    if (this.#ended) return
    this.#lastError = error
    const again =
      BEFORE_SENDING.has(error.code) ||
      (error.code === 'ORIGIN_CLOSED' &&
        this.#request.body === null &&
        isSafe(this.#request.method))
    if (again && this.#group.size > this.#tried.length) return this.#ask()
    this.#fail(error)
  }
}

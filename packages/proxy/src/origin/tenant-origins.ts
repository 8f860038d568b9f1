import { isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { OriginConfig, OriginTlsConfig, TenantConfig } from '../config/config.ts'
import { isSafe } from '../http/methods.ts'
import { ProxyError } from '../http/proxy-error.ts'
import type { TimerWheel } from '../transport/timer-wheel.ts'
import type { OriginSecurity, OriginTarget } from './dial.ts'
import type { OriginFetch, OriginGroup, OriginHandler, OriginRequest } from './origin-fetch.ts'
import { OriginHealth } from './origin-health.ts'
import { OriginPool } from './origin-pool.ts'
import type { OriginResolver } from './resolver.ts'

interface Member {
  readonly backup: boolean
  readonly pool: OriginPool
  readonly health: OriginHealth
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
      const health = new OriginHealth()
      const pool = new OriginPool({
        target: originTarget(origin, config.originTls),
        ...config.originTimeouts,
        maxConnections: config.originMaxConnections,
        wheel,
        resolver,
        onConnect(error) {
          if (error === null) health.connected()
          else health.notConnected(wheel.now())
        },
      })
      return { backup: origin.backup, pool, health }
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
        (member) =>
          member.backup === backup && member.health.mayBeAsked(now) && !tried.includes(member),
      )
      if (able.length === 0) continue
      const chosen = able[this.#turn++ % able.length]
      chosen.health.asked(now)
      return chosen
    }
    return undefined
  }

  downError(): ProxyError {
    const soonest = Math.min(...this.#members.map(({ health }) => health.downUntil))
    const inMs = Math.max(0, Math.round(soonest - this.#wheel.now()))
    return new ProxyError('ORIGIN_DOWN', [this.#tenantId, inMs])
  }

  close(): void {
    for (const { pool } of this.#members) pool.close()
  }
}

function originTarget(origin: OriginConfig, tls: OriginTlsConfig): OriginTarget {
  const url = new URL(origin.url)
  const isSecure = url.protocol === 'https:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return {
    name: origin.name,
    authority: url.host,
    host,
    port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port),
    secure: isSecure ? originSecurity(host, tls) : null,
  }
}

function originSecurity(
  host: string,
  { caPem, serverName, minVersion, client }: OriginTlsConfig,
): OriginSecurity {
  return {
    // RFC 6066 §3: an address is no server name; the certificate is checked for it all the same.
    serverName: serverName ?? (isIP(host) === 0 ? host : ''),
    context: createSecureContext({
      ca: caPem,
      minVersion,
      cert: client?.certPem,
      key: client?.keyPem,
    }),
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

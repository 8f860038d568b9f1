import { Cluster, Redis, type RedisOptions } from 'ioredis'

export type RedisClient = Redis | Cluster

/** Where Redis is, and as whom; the part of the configuration that this needs. */
export interface RedisPlace {
  readonly url: string | undefined
  readonly cluster: readonly string[]
  readonly sentinels: readonly string[]
  readonly sentinelName: string | undefined
  readonly username: string | undefined
  readonly password: string | undefined
  /** Authority of `rediss:` servers; undefined = those of the system. */
  readonly caPem: string | undefined
}

/** A connection that owes an answer and brings nothing for so long is given up, with all that waits on it. */
const HUNG_AFTER_MS = 1_000
const CONNECT_TIMEOUT_MS = 2_000

/**
 * A connection for the request path: a command is sent now or fails now. Nothing queues while Redis is away, nothing is
 * sent twice; reconnecting goes on behind, with jitter, so that Redis is used again within 5 s of being back.
 */
export function connectRedis(place: RedisPlace, onError: (error: Error) => void): RedisClient {
  const client = makeClient(place)
  // ioredis tells every failed attempt; without a listener the first would end the process.
  client.on('error', onError)
  return client
}

function makeClient(place: RedisPlace): RedisClient {
  const common: RedisOptions = {
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: HUNG_AFTER_MS,
    disconnectTimeout: HUNG_AFTER_MS,
    // While Redis reads its database from disk.
    maxLoadingRetryTime: 1_000,
    retryStrategy: reconnectDelayMs,
    // A master that has become a replica: its address may lead to the new one by now.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...(place.username === undefined ? {} : { username: place.username }),
    ...(place.password === undefined ? {} : { password: place.password }),
  }
  const tls = place.caPem === undefined ? {} : { ca: place.caPem }
  if (place.cluster.length > 0) {
    return new Cluster([...place.cluster], {
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      clusterRetryStrategy: reconnectDelayMs,
      slotsRefreshTimeout: HUNG_AFTER_MS,
      maxRedirections: 3,
      redisOptions: isSecure(place.cluster) ? { ...common, tls } : common,
    })
  }
  if (place.sentinels.length > 0) {
    return new Redis({
      ...common,
      sentinels: place.sentinels.map(sentinelAddress),
      name: place.sentinelName ?? 'mymaster',
      sentinelRetryStrategy: reconnectDelayMs,
      sentinelCommandTimeout: HUNG_AFTER_MS,
      // Sentinels and servers are of one mind about TLS.
      ...(isSecure(place.sentinels)
        ? { tls, sentinelTLS: tls, enableTLSForSentinelMode: true }
        : {}),
    })
  }
  const url = place.url ?? 'redis://127.0.0.1:6379'
  return new Redis(url, isSecure([url]) ? { ...common, tls } : common)
}

function reconnectDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 6), 2_000) * (0.5 + Math.random() / 2)
}

function sentinelAddress(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  // An address of IPv6 has brackets in a URL, and nowhere else.
  const host = hostname.replace(/^\[|\]$/g, '')
  return { host, port: port === '' ? 26_379 : Number(port) }
}

function isSecure(urls: readonly string[]): boolean {
  return urls.some((url) => url.startsWith('rediss:'))
}

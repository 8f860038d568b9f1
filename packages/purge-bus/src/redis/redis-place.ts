import { Cluster, Redis, type RedisOptions } from 'ioredis'

/** Where Redis is, and as whom. */
export interface RedisPlace {
  readonly url?: string
  /** URLs of some nodes of a cluster. */
  readonly cluster?: readonly string[]
  readonly sentinels?: readonly string[]
  /** Of the master, as the sentinels know it. */
  readonly sentinelName?: string
  readonly username?: string
  readonly password?: string
  /** Authority of `rediss:` servers; without it those of the system. */
  readonly caPem?: string
}

export type RedisClient = Redis | Cluster

/** A connection that owes an answer and brings nothing for so long is given up. */
const HUNG_AFTER_MS = 1_000
const CONNECT_TIMEOUT_MS = 2_000
const MAX_RECONNECT_DELAY_MS = 1_000

/** For commands: sent now or failed now, never sent twice. It reconnects by itself, with jitter. */
export function connectForCommands(
  place: RedisPlace,
  onError: (error: Error) => void,
): RedisClient {
  const options = {
    ...common(place),
    socketTimeout: HUNG_AFTER_MS,
    retryStrategy: reconnectDelayMs,
    // A master that has become a replica: its address may lead to the new one by now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  const { cluster = [] } = place
  const client =
    cluster.length === 0
      ? single(place, options)
      : new Cluster([...cluster], {
          enableOfflineQueue: false,
          clusterRetryStrategy: reconnectDelayMs,
          slotsRefreshTimeout: HUNG_AFTER_MS,
          maxRedirections: 3,
          redisOptions: options,
        })
  // ioredis tells every failed attempt; without a listener the first would end the process.
  client.on('error', onError)
  return client
}

/**
 * For messages: one attempt, and no other after it is lost. `node` ('host:port') in a cluster: the one that publishes,
 * so that its messages come in the order in which it sent them.
 */
export function connectForMessages(place: RedisPlace, node: string | undefined): Redis {
  const options: RedisOptions = {
    ...common(place),
    lazyConnect: true,
    retryStrategy: null,
    sentinelRetryStrategy: () => null,
    autoResubscribe: false,
  }
  const { cluster = [] } = place
  if (node === undefined && cluster.length === 0) return single(place, options)
  if (node === undefined) return new Redis(cluster[0], { ...options, ...tlsOf(place, cluster) })
  const colon = node.lastIndexOf(':')
  const address = { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) }
  return new Redis({ ...options, ...address, ...tlsOf(place, cluster) })
}

/** With jitter, so that the machines of a point of presence do not come back at once. */
export function reconnectDelayMs(attempt: number): number {
  const delayMs = Math.min(50 * 2 ** Math.min(attempt, 6), MAX_RECONNECT_DELAY_MS)
  return delayMs * (0.5 + Math.random() / 2)
}

function common(place: RedisPlace): RedisOptions {
  return {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: HUNG_AFTER_MS,
    // While Redis reads its database from disk.
    maxLoadingRetryTime: 1_000,
    ...(place.username === undefined ? {} : { username: place.username }),
    ...(place.password === undefined ? {} : { password: place.password }),
  }
}

function single(place: RedisPlace, options: RedisOptions): Redis {
  const { sentinels = [] } = place
  if (sentinels.length === 0) {
    const url = place.url ?? 'redis://127.0.0.1:6379'
    return new Redis(url, { ...options, ...tlsOf(place, [url]) })
  }
  const secure = tlsOf(place, sentinels)
  return new Redis({
    sentinelRetryStrategy: reconnectDelayMs,
    ...options,
    sentinels: sentinels.map(sentinelAddress),
    name: place.sentinelName ?? 'mymaster',
    sentinelCommandTimeout: HUNG_AFTER_MS,
    // Sentinels and servers are of one mind about TLS.
    ...(secure.tls === undefined
      ? {}
      : { ...secure, sentinelTLS: secure.tls, enableTLSForSentinelMode: true }),
  })
}

function tlsOf(place: RedisPlace, urls: readonly string[]): { tls?: { ca?: string } } {
  if (!urls.some((url) => url.startsWith('rediss:'))) return {}
  return { tls: place.caPem === undefined ? {} : { ca: place.caPem } }
}

function sentinelAddress(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  // An address of IPv6 has brackets in a URL, and nowhere else.
  const host = hostname.replace(/^\[|\]$/g, '')
  return { host, port: port === '' ? 26_379 : Number(port) }
}

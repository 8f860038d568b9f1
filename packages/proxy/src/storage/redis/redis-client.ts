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

/**
 * The connection for the request path: a command is sent now or fails now. Nothing queues while Redis is away, nothing is
 * sent twice; reconnecting goes on behind, with jitter.
 */
export function connectRedis(config: RedisPlace, onError: (error: Error) => void): RedisClient {
  const client = makeClient(config)
  // ioredis tells every failed attempt; without a listener the first would end the process.
  client.on('error', onError)
  return client
}

function makeClient(config: RedisPlace): RedisClient {
  const common: RedisOptions = {
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: 2_000,
    lazyConnect: false,
    retryStrategy: (attempt) =>
      Math.min(100 * 2 ** Math.min(attempt, 6), 4_000) * (0.5 + Math.random() / 2),
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(config.password === undefined ? {} : { password: config.password }),
    ...tlsOptions(config),
  }
  if (config.cluster.length > 0) {
    return new Cluster([...config.cluster], {
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      clusterRetryStrategy: common.retryStrategy as (times: number) => number,
      slotsRefreshTimeout: 2_000,
      redisOptions: common,
    })
  }
  if (config.sentinels.length > 0) {
    const sentinels = config.sentinels.map((url) => {
      const { hostname, port } = new URL(url)
      return { host: hostname, port: port === '' ? 26_379 : Number(port) }
    })
    return new Redis({ ...common, sentinels, name: config.sentinelName ?? 'mymaster' })
  }
  return new Redis(config.url ?? 'redis://127.0.0.1:6379', common)
}

function tlsOptions(config: RedisPlace): RedisOptions {
  const urls = [config.url ?? '', ...config.cluster]
  if (!urls.some((url) => url.startsWith('rediss:'))) return {}
  return { tls: config.caPem === undefined ? {} : { ca: config.caPem } }
}

import { httpPurgeClient } from './client-http.ts'
import { redisPurgeClient } from './client-redis.ts'
import { PurgeRefusedError } from './client-transport.ts'
import { parsePurge } from './parse-purge.ts'
import type { PurgeMessage } from './purge-message.ts'
import type { Receipt } from './receipt.ts'
import type { RedisPlace } from './redis/redis-place.ts'

export type PurgeClientOptions =
  /** Through the admin API: `url` like https://admin.acme.test:9090. */
  | { readonly url: string; readonly token?: string }
  /** Through Redis. `prefix`: as the proxies are configured, by default 'larder:'. */
  | { readonly redis: RedisPlace; readonly prefix?: string }

export interface PurgeClientCall {
  /** How long to wait for every worker of every machine, ms; default 5,000, 0 = not at all. */
  readonly waitMs?: number
}

export interface PurgeClient {
  /**
   * Publishes a purge: the object or the words that any other door takes. Rejects with a `PurgeRefusedError` when it is
   * not understood or not allowed, with another error when it could not be published; then publish it again.
   */
  purge(message: PurgeMessage | string | object, call?: PurgeClientCall): Promise<Receipt>
  close(): Promise<void>
}

const DEFAULT_WAIT_MS = 5_000

export function createPurgeClient(options: PurgeClientOptions): PurgeClient {
  const transport =
    'redis' in options
      ? redisPurgeClient(options.redis, options.prefix ?? 'larder:')
      : httpPurgeClient(options.url, options.token)
  return {
    async purge(message, call = {}) {
      const parsed = parsePurge(message)
      if (!parsed.ok) throw new PurgeRefusedError(parsed.reason)
      return transport.publish(parsed.message, call.waitMs ?? DEFAULT_WAIT_MS)
    },
    close: () => transport.close(),
  }
}

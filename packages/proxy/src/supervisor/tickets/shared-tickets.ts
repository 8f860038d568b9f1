import { type KeyRing, parseRing, serialiseRing, type TicketRing } from '@larder/certs'
import type { RedisConfig } from '../../config/config.ts'
import { connectRedis, type RedisClient } from '../../storage/redis/redis-client.ts'

/** What the machines of the PoP have: `text` is how it lies there, to be named when it is replaced. */
export interface SharedRing {
  readonly text: string
  /** null when there is nothing, or nothing that our keys open. */
  readonly ring: TicketRing | null
}

/** Keeps it apart from all else that is sealed with the same keys. */
const ABOUT = 'session ticket keys'

/** Replaces what is there unless someone else has; answers what is there afterwards. */
const REPLACE = `
local known = redis.call('GET', KEYS[1]) or ''
if known ~= ARGV[1] then return known end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return ARGV[2]
`

/** The ticket keys of all machines of a PoP, sealed, in Redis. Every call settles within the deadlines of the client. */
export class SharedTickets {
  readonly #client: RedisClient
  readonly #name: string
  readonly #keys: KeyRing

  constructor(redis: RedisConfig, keys: KeyRing) {
    // Its errors come back from the calls.
    this.#client = connectRedis(redis, () => {})
    this.#name = `${redis.prefix}tickets`
    this.#keys = keys
  }

  /** Resolves when Redis can be asked, or after `timeoutMs`. */
  async connected(timeoutMs: number): Promise<void> {
    if (this.#client.status === 'ready') return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs)
      this.#client.once('ready', () => resolve())
    })
    clearTimeout(timer)
  }

  async read(): Promise<SharedRing> {
    return this.#shared(await this.#client.get(this.#name))
  }

  /** `expected`: the text that was read. `keepMs`: when nobody rotates any more, the keys vanish. */
  async replace(expected: string, ring: TicketRing, keepMs: number): Promise<SharedRing> {
    const text = this.#keys.seal(serialiseRing(ring), ABOUT)
    const keep = Math.ceil(keepMs)
    const after = await this.#client.eval(REPLACE, 1, this.#name, expected, text, keep)
    return this.#shared(typeof after === 'string' ? after : null)
  }

  close(): void {
    this.#client.disconnect()
  }

  #shared(text: string | null): SharedRing {
    if (text === null || text === '') return { text: '', ring: null }
    try {
      return { text, ring: parseRing(this.#keys.open(text, ABOUT)) }
    } catch {
      // Sealed with another key, or changed.
      return { text, ring: null }
    }
  }
}

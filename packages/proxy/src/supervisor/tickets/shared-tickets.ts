import { KeyRing, keyMark, parseRing, serialiseRing, type TicketRing } from '@larder/certs'
import type { RedisConfig } from '../../config/config.ts'
import { connectRedis, type RedisClient } from '../../storage/redis/redis-client.ts'

/** What the machines of the PoP have. */
export interface SharedRing {
  /** How it lies there under our own key, to be named when it is replaced; '' when nothing does. */
  readonly text: string
  /** The latest that a key of ours opens; null when there is none. */
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

/**
 * The ticket keys of all machines of a PoP, sealed, in Redis, under a name that tells the key they are sealed with: a
 * machine that was given another one has tickets of its own and keeps nobody from theirs. Every call settles within the
 * deadlines of the client.
 */
export class SharedTickets {
  readonly #client: RedisClient
  readonly #places: readonly { readonly keys: KeyRing; readonly name: string }[]

  /** The first key seals, each of them opens. */
  constructor(redis: RedisConfig, keys: readonly Buffer[]) {
    // Its errors come back from the calls.
    this.#client = connectRedis(redis, () => {})
    this.#places = keys.map((key) => ({
      keys: new KeyRing([key]),
      name: `${redis.prefix}tickets:${keyMark(key)}`,
    }))
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
    let latest: TicketRing | null = null
    const texts: string[] = []
    for (const { keys, name } of this.#places) {
      const text = (await this.#client.get(name)) ?? ''
      texts.push(text)
      const ring = opened(text, keys)
      if (ring !== null && ring.generation > (latest?.generation ?? 0)) latest = ring
    }
    return { text: texts[0], ring: latest }
  }

  /** `expected`: the text that was read. `keepMs`: when nobody rotates any more, the keys vanish. */
  async replace(expected: string, ring: TicketRing, keepMs: number): Promise<SharedRing> {
    const [{ keys, name }] = this.#places
    const text = keys.seal(serialiseRing(ring), ABOUT)
    const after = await this.#client.eval(REPLACE, 1, name, expected, text, Math.ceil(keepMs))
    if (typeof after !== 'string') return { text: '', ring: null }
    return { text: after, ring: opened(after, keys) }
  }

  close(): void {
    this.#client.disconnect()
  }
}

/** null when there is nothing, or nothing that these keys open. */
function opened(text: string, keys: KeyRing): TicketRing | null {
  if (text === '') return null
  try {
    return parseRing(keys.open(text, ABOUT))
  } catch {
    return null
  }
}

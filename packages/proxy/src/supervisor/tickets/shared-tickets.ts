import { hkdfSync } from 'node:crypto'
import { openRing, sealRing, type TicketRing } from '@larder/certs'
import type { RedisConfig } from '../../config/config.ts'
import { connectRedis, type RedisClient } from '../../storage/redis/redis-client.ts'

/** What the machines of the PoP have. */
export interface SharedRing {
  /** How it lies there under our own key, to be named when it is replaced; '' when nothing does. */
  readonly text: string
  /** The latest that a key of ours opens; null when there is none. */
  readonly ring: TicketRing | null
}

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
  readonly #secrets: readonly { readonly secret: Buffer; readonly name: string }[]

  /** The first secret seals, each of them opens. */
  constructor(redis: RedisConfig, secrets: readonly Buffer[]) {
    // Its errors come back from the calls.
    this.#client = connectRedis(redis, () => {})
    this.#secrets = secrets.map((secret) => ({
      secret,
      name: `${redis.prefix}tickets:${markOf(secret)}`,
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
    for (const { secret, name } of this.#secrets) {
      const text = (await this.#client.get(name)) ?? ''
      texts.push(text)
      const ring = openRing(Buffer.from(text, 'base64'), secret)
      if (ring !== null && ring.generation > (latest?.generation ?? 0)) latest = ring
    }
    return { text: texts[0], ring: latest }
  }

  /** `expected`: the text that was read. `keepMs`: when nobody rotates any more, the keys vanish. */
  async replace(expected: string, ring: TicketRing, keepMs: number): Promise<SharedRing> {
    const [{ secret, name }] = this.#secrets
    const text = sealRing(ring, secret).toString('base64')
    const after = await this.#client.eval(REPLACE, 1, name, expected, text, Math.ceil(keepMs))
    if (typeof after !== 'string') return { text: '', ring: null }
    return { text: after, ring: openRing(Buffer.from(after, 'base64'), secret) }
  }

  close(): void {
    this.#client.disconnect()
  }
}

/** Tells keys apart, and nothing about them. */
function markOf(secret: Buffer): string {
  return Buffer.from(hkdfSync('sha256', secret, '', 'larder name of ticket keys', 9)).toString(
    'base64url',
  )
}

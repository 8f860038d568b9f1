import type { Redis } from 'ioredis'
import { reconnectDelayMs } from './redis-place.ts'

/** How often a silent connection is asked whether it is still there, and how long it may take to say so. */
const ASK_EVERY_MS = 1_000
const ANSWER_WITHIN_MS = 1_500

export interface SubscriptionOptions {
  readonly channels: readonly string[]
  /** A new client that has not connected yet; it is used once. */
  readonly connect: () => Redis
  readonly onMessage: (channel: string, text: string) => void
  /** From now on nothing is missed that is published. */
  readonly onSubscribed: () => void
  /** From now on things may be missed. */
  readonly onLost: () => void
  readonly onError: (error: unknown) => void
}

/** Listens to channels, again and again after each loss, and tells from when to when nothing was missed. */
export class Subscription {
  readonly #options: SubscriptionOptions
  #client: Redis | null = null
  #timer: NodeJS.Timeout | undefined
  #attempts = 0
  #stopped = false

  constructor(options: SubscriptionOptions) {
    this.#options = options
  }

  start(): void {
    void this.#open()
  }

  /** Begins anew, for example because there is a new master. */
  restart(): void {
    const client = this.#client
    if (client !== null) this.#lose(client)
  }

  stop(): void {
    this.#stopped = true
    this.restart()
    clearTimeout(this.#timer)
  }

  async #open(): Promise<void> {
    if (this.#stopped) return
    const client = this.#options.connect()
    this.#client = client
    client.on('error', (error) => this.#options.onError(error))
    client.on('close', () => this.#lose(client))
    client.on('end', () => this.#lose(client))
    client.on('message', (channel, text) => {
      if (this.#client === client) this.#options.onMessage(channel, text)
    })
    try {
      await client.connect()
      await client.subscribe(...this.#options.channels)
    } catch (error) {
      if (this.#client === client) this.#options.onError(error)
      this.#lose(client)
      return
    }
    if (this.#client !== client) return
    this.#attempts = 0
    this.#options.onSubscribed()
    this.#watch(client)
  }

  /** A connection can be dead without anyone having said so. */
  #watch(client: Redis): void {
    this.#timer = setTimeout(async () => {
      const late = setTimeout(() => this.#lose(client), ANSWER_WITHIN_MS)
      try {
        await client.ping()
        if (this.#client === client) this.#watch(client)
      } catch {
        this.#lose(client)
      } finally {
        clearTimeout(late)
      }
    }, ASK_EVERY_MS)
  }

  #lose(client: Redis): void {
    if (this.#client !== client) return
    this.#client = null
    client.disconnect()
    clearTimeout(this.#timer)
    this.#options.onLost()
    if (this.#stopped) return
    this.#timer = setTimeout(() => void this.#open(), reconnectDelayMs(this.#attempts++))
  }
}

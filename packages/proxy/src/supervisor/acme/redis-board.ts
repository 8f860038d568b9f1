import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ChallengeBoard,
  type ChallengeBook,
  challengeKey,
  type PendingChallenge,
} from '@larder/certs/acme'
import type { RedisClient } from '../../storage/redis/redis-client.ts'

export interface RedisBoardOptions {
  readonly redis: RedisClient
  /** For messages alone; it is not used for anything else. */
  readonly subscriber: RedisClient
  /** In front of every key and channel. */
  readonly prefix: string
  /** This machine's workers. */
  readonly book: ChallengeBook
  onError(error: unknown): void
}

/** A challenge that nobody withdraws, because its machine has died. */
const CHALLENGE_FOR_MS = 3_600_000
const ACKNOWLEDGED_WITHIN_MS = 3_000
const LOOK_EVERY_MS = 25
const ACKNOWLEDGEMENTS_FOR_MS = 60_000
/** More than orders under way can have. */
const MAX_CHALLENGES = 2_000

/**
 * The challenges of all machines of a point of presence: a hash in Redis, a message when it has changed, and a number
 * that each machine raises when its workers know. What one orders, any worker of any machine answers for.
 */
export class RedisBoard implements ChallengeBoard {
  readonly #options: RedisBoardOptions
  readonly #key: string
  readonly #channel: string
  /** Reads, one after the other: the last one told is the last one read. */
  #reading: Promise<void> = Promise.resolve()
  #isStopped = false
  /** Looks again when what is there has had its time. */
  #timer: NodeJS.Timeout | undefined

  constructor(options: RedisBoardOptions) {
    this.#options = options
    this.#key = `${options.prefix}{acme}:challenges`
    this.#channel = `${options.prefix}acme:challenges`
  }

  start(): void {
    const { subscriber } = this.#options
    subscriber.on('message', (_channel: string, id: string) => void this.#heard(id))
    subscriber.on('ready', () => void this.#subscribe())
    if (subscriber.status === 'ready') void this.#subscribe()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  async publish(challenges: readonly PendingChallenge[]): Promise<void> {
    const { redis } = this.#options
    const untilAt = Date.now() + CHALLENGE_FOR_MS
    const fields = challenges.flatMap((challenge) => [
      challengeKey(challenge),
      JSON.stringify({ ...challenge, untilAt }),
    ])
    await redis.hset(this.#key, ...fields)
    await redis.pexpire(this.#key, CHALLENGE_FOR_MS)
    await this.#read()
    const id = randomUUID()
    const receivers = await redis.publish(this.#channel, id)
    await this.#acknowledged(id, receivers)
  }

  async withdraw(challenges: readonly PendingChallenge[]): Promise<void> {
    const { redis, book } = this.#options
    // Here at once, whatever becomes of Redis.
    await book.withdraw(challenges)
    await redis.hdel(this.#key, ...challenges.map(challengeKey))
    await redis.publish(this.#channel, '')
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#options.subscriber.subscribe(this.#channel)
      // What was published before is not told again.
      await this.#read()
    } catch (error) {
      this.#options.onError(error)
    }
  }

  async #heard(id: string): Promise<void> {
    if (this.#isStopped) return
    try {
      await this.#read()
      if (id === '') return
      const { redis } = this.#options
      await redis.incr(this.#ackKey(id))
      await redis.pexpire(this.#ackKey(id), ACKNOWLEDGEMENTS_FOR_MS)
    } catch (error) {
      this.#options.onError(error)
    }
  }

  /** Waits for all who have heard the message; one that does not answer does not keep the others from being asked. */
  async #acknowledged(id: string, receivers: number): Promise<void> {
    const endsAt = performance.now() + ACKNOWLEDGED_WITHIN_MS
    while (performance.now() < endsAt) {
      const acknowledged = Number((await this.#options.redis.get(this.#ackKey(id))) ?? 0)
      if (acknowledged >= receivers) return
      await sleep(LOOK_EVERY_MS)
    }
  }

  #read(): Promise<void> {
    const read = this.#reading.then(async () => {
      const { redis, book } = this.#options
      const texts = Object.values(await redis.hgetall(this.#key)).slice(0, MAX_CHALLENGES)
      await book.replaceAll(texts.flatMap((text) => readChallenge(text)))
      clearTimeout(this.#timer)
      if (texts.length > 0 && !this.#isStopped) {
        this.#timer = setTimeout(() => void this.#heard(''), CHALLENGE_FOR_MS + 1_000).unref()
      }
    })
    this.#reading = read.catch(() => {})
    return read
  }

  #ackKey(id: string): string {
    return `${this.#options.prefix}{acme}:acknowledged:${id}`
  }
}

/** What others have written is not taken on trust. */
function readChallenge(text: string): PendingChallenge[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return []
  }
  if (typeof value !== 'object' || value === null) return []
  const { kind, name, token, keyAuthorization, untilAt } = value as Record<string, unknown>
  if (kind !== 'http-01' && kind !== 'tls-alpn-01') return []
  if (typeof name !== 'string' || typeof token !== 'string') return []
  if (typeof keyAuthorization !== 'string' || !/^[\w.-]{1,1024}$/.test(keyAuthorization)) return []
  if (typeof untilAt !== 'number' || untilAt < Date.now()) return []
  return [{ kind, name, token, keyAuthorization }]
}

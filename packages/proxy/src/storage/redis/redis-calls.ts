import { Cluster } from 'ioredis'
import { CircuitBreaker } from './circuit-breaker.ts'
import { clusterSlot } from './cluster-slot.ts'
import type { RedisClient } from './redis-client.ts'

/** What went wrong, by kind; each was a miss, or a response that was not stored. */
export interface RedisCounts {
  timeouts: number
  errors: number
  /** Calls not made: no connection, the circuit open, or too many under way. */
  skipped: number
  /** Values that were not what was stored. */
  corrupt: number
}

export interface RedisCallsLimits {
  /** Calls whose answer is owed, those that nobody waits for any more included. */
  readonly maxCalls: number
  /** Bytes of the values in them. */
  readonly maxBytes: number
}

/**
 * Every call to Redis over one connection: within a deadline, behind a circuit breaker, bounded in number and bytes.
 * It never rejects: whatever is wrong with Redis is counted, and the caller goes on without.
 */
export class RedisCalls {
  readonly client: RedisClient
  readonly #counts: RedisCounts
  readonly #limits: RedisCallsLimits
  /** By node: one that is gone does not take the others along. */
  readonly #breakers = new Map<string, CircuitBreaker>()
  #calls = 0
  #bytes = 0

  constructor(client: RedisClient, counts: RedisCounts, limits: RedisCallsLimits) {
    this.client = client
    this.#counts = counts
    this.#limits = limits
  }

  /** False while calls are not made. */
  get up(): boolean {
    if (!this.connected) return false
    if (this.#breakers.size === 0) return true
    return [...this.#breakers.values()].some((breaker) => !breaker.open)
  }

  /** False while there is nobody to call. */
  get connected(): boolean {
    return this.client.status === 'ready'
  }

  /** Calls whose answer is still owed. */
  get underWay(): number {
    return this.#calls
  }

  /** True when a value of so many bytes could be sent now. */
  hasRoomFor(bytes: number): boolean {
    if (this.#calls >= this.#limits.maxCalls) return false
    return this.#bytes === 0 || this.#bytes + bytes <= this.#limits.maxBytes
  }

  /**
   * Undefined when there was no answer in time, or none that is of use. `tag` is the hash tag of the names in the
   * command, `bytes` what their values have.
   */
  async run<T>(
    tag: string,
    deadlineMs: number,
    bytes: number,
    command: (client: RedisClient) => Promise<T>,
  ): Promise<T | undefined> {
    const breaker = this.#breakerOf(tag)
    if (!this.connected || !this.hasRoomFor(bytes) || !breaker.allows()) {
      this.#counts.skipped++
      return undefined
    }
    const startedAt = breaker.now()
    const late = deadline(deadlineMs)
    try {
      const result = await Promise.race([this.#track(command, bytes), late.passed])
      if (result !== LATE) {
        breaker.succeeded()
        return result
      }
      this.#counts.timeouts++
      breaker.failed(startedAt)
    } catch {
      this.#counts.errors++
      breaker.failed(startedAt)
    } finally {
      late.cancel()
    }
    return undefined
  }

  #breakerOf(tag: string): CircuitBreaker {
    const { client } = this
    const node = client instanceof Cluster ? (client.slots[clusterSlot(tag)]?.[0] ?? '') : ''
    const known = this.#breakers.get(node)
    if (known !== undefined) return known
    // Nodes come and go: those that have gone are forgotten with all the others.
    if (this.#breakers.size >= MAX_BREAKERS) this.#breakers.clear()
    const breaker = new CircuitBreaker()
    this.#breakers.set(node, breaker)
    return breaker
  }

  /** Counts a call as long as Redis owes its answer, whoever still waits for it. */
  #track<T>(command: (client: RedisClient) => Promise<T>, bytes: number): Promise<T> {
    const running = command(this.client)
    this.#calls++
    this.#bytes += bytes
    const ended = () => {
      this.#calls--
      this.#bytes -= bytes
    }
    // A failure that comes after the deadline has been counted as late already.
    running.then(ended, ended)
    return running
  }
}

const MAX_BREAKERS = 1_000
const LATE = Symbol('late')

/**
 * A busy event loop comes to its timers before it reads its sockets. One more turn lets an answer that is there already
 * be in time, so that our own stalls do not count as those of Redis.
 */
function deadline(ms: number): { passed: Promise<typeof LATE>; cancel(): void } {
  const { promise, resolve } = Promise.withResolvers<typeof LATE>()
  const timer = setTimeout(() => setImmediate(resolve, LATE), ms)
  return { passed: promise, cancel: () => clearTimeout(timer) }
}

/** The value when it is of the type that was asked for; someone else's is `otherwise`, and Redis is well. */
export async function ofItsType<T, Otherwise>(
  reply: Promise<T>,
  otherwise: Otherwise,
): Promise<T | Otherwise> {
  try {
    return await reply
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return otherwise
    throw error
  }
}

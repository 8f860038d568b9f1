import { CircuitBreaker } from './circuit-breaker.ts'
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
  readonly #breaker = new CircuitBreaker()
  #calls = 0
  #bytes = 0

  constructor(client: RedisClient, counts: RedisCounts, limits: RedisCallsLimits) {
    this.client = client
    this.#counts = counts
    this.#limits = limits
  }

  /** False while calls are not made. */
  get up(): boolean {
    return this.client.status === 'ready' && !this.#breaker.open
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

  /** Undefined when there was no answer in time, or none that is of use. */
  async run<T>(
    deadlineMs: number,
    bytes: number,
    command: (client: RedisClient) => Promise<T>,
  ): Promise<T | undefined> {
    if (this.client.status !== 'ready' || !this.hasRoomFor(bytes) || !this.#breaker.allows()) {
      this.#counts.skipped++
      return undefined
    }
    const late = deadline(deadlineMs)
    try {
      const result = await Promise.race([this.#track(command, bytes), late.passed])
      if (result !== LATE) {
        this.#breaker.succeeded()
        return result
      }
      this.#counts.timeouts++
      this.#breaker.failed()
    } catch {
      this.#counts.errors++
      this.#breaker.failed()
    } finally {
      late.cancel()
    }
    return undefined
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

import type { OriginFetch } from '../origin/origin-fetch.ts'
import type { RedisTier } from '../storage/redis/redis-tier.ts'

/** How often whoever waits looks whether the fetch of another machine has ended. */
const POLL_MS = 20
const MAX_POLL_MS = 100

/**
 * One fetch at a time for all machines of a PoP, by a lease in Redis: whoever does not get it waits until it is gone,
 * then looks into Redis. It ends by itself after a short time, so that a machine that dies, an origin that is slow or a
 * Redis that is gone cost the others that time at most.
 */
export class PopLease {
  readonly #redis: Pick<RedisTier, 'takeLease' | 'isLeased' | 'giveLease'>
  readonly #leaseMs: number

  constructor(redis: Pick<RedisTier, 'takeLease' | 'isLeased' | 'giveLease'>, leaseMs: number) {
    this.#redis = redis
    this.#leaseMs = leaseMs
  }

  /** `begin` asks the origin; `elsewhere` is called in its place when another machine has fetched the key meanwhile. */
  fetch(key: string, begin: () => OriginFetch, elsewhere: () => void): LeasedFetch {
    const fetch = new LeasedFetch(begin)
    void this.#decide(key, fetch, elsewhere)
    return fetch
  }

  async #decide(key: string, fetch: LeasedFetch, elsewhere: () => void): Promise<void> {
    const endsAt = performance.now() + this.#leaseMs
    const taken = await this.#redis.takeLease(key, this.#leaseMs)
    if (taken === 'mine') fetch.isHolder = true
    if (taken !== 'theirs') return fetch.begin()
    let pollMs = POLL_MS
    do {
      await new Promise((resolve) => setTimeout(resolve, pollMs))
      if (fetch.isAborted) return
      pollMs = Math.min(pollMs * 1.5, MAX_POLL_MS)
    } while (performance.now() < endsAt && (await this.#redis.isLeased(key)))
    if (!fetch.isAborted) elsewhere()
  }

  /** The fetch has come to its end. `shared`: the others find it in Redis. */
  done(key: string, { isHolder }: LeasedFetch, shared: boolean): void {
    if (isHolder) void this.#redis.giveLease(key, !shared)
  }
}

/** A fetch that begins when it is its turn. */
export class LeasedFetch implements OriginFetch {
  isHolder = false
  isAborted = false
  readonly #begin: () => OriginFetch
  #fetch: OriginFetch | null = null

  constructor(begin: () => OriginFetch) {
    this.#begin = begin
  }

  begin(): void {
    if (!this.isAborted) this.#fetch = this.#begin()
  }

  pause(): void {
    this.#fetch?.pause()
  }

  resume(): void {
    this.#fetch?.resume()
  }

  abort(): void {
    this.isAborted = true
    this.#fetch?.abort()
  }
}

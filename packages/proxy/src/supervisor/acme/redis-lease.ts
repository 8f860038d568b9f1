import { randomUUID } from 'node:crypto'
import { type HeldLease, LEASE_MS, type Lease, type LeaseAnswer } from '@larder/certs/acme'
import type { RedisClient } from '../../storage/redis/redis-client.ts'

/**
 * A hash for each certificate:
 * owner     who renews; '' = nobody
 * until     Redis time, ms: until then the owner has it, or nobody may have it
 * fence     grows with each owner, as the time does
 * failures  attempts in a row that failed
 */
const NOW = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
`

/** A place that nobody has used for so long is forgotten; the certificate has expired long before. */
const FORGET_MS = 400 * 86_400_000

/** KEYS: place. ARGV: who, ms, '1' = even while it rests. Gives back {1, fence, failures} or {0, ms to wait, 0}. */
const TAKE = `${NOW}
local held = redis.call('HMGET', KEYS[1], 'owner', 'until', 'fence', 'failures')
local owner, left = held[1] or '', (tonumber(held[2]) or 0) - now
-- A clock that was set back does not make a lease longer.
if owner ~= '' and left > tonumber(ARGV[2]) then left = 0 end
if left > 0 and not (owner == '' and ARGV[3] == '1') then return {0, left, 0} end
-- Not from 1 again where a place was forgotten: what was stored under the last one would be in the way for ever.
local fence = math.max((tonumber(held[3]) or 0) + 1, now)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', text(now + tonumber(ARGV[2])), 'fence', text(fence))
redis.call('PEXPIRE', KEYS[1], ${FORGET_MS})
return {1, fence, tonumber(held[4]) or 0}
`

/** KEYS: place. ARGV: who, fence, ms. 1 = still the caller's, from now on for that long. */
const EXTEND = `${NOW}
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'until', text(now + tonumber(ARGV[3])))
return 1
`

/** KEYS: place. ARGV: who, fence, ms of rest, failures. Only the holder gives it back. */
const RELEASE = `${NOW}
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'until', text(now + tonumber(ARGV[3])), 'failures', ARGV[4])
return 1
`

/** Leases of the machines of a point of presence. */
export class RedisLease implements Lease {
  readonly #redis: RedisClient
  readonly #prefix: string
  readonly #leaseMs: number

  constructor(redis: RedisClient, prefix: string, leaseMs = LEASE_MS) {
    this.#redis = redis
    this.#prefix = prefix
    this.#leaseMs = leaseMs
  }

  async take(id: string, evenResting = false): Promise<LeaseAnswer> {
    const key = `${this.#prefix}acme-lease:{${id}}`
    const owner = randomUUID()
    const resting = evenResting ? '1' : '0'
    const [isHeld, number, failures] = await this.#numbers(TAKE, key, owner, this.#leaseMs, resting)
    if (isHeld === 0) return { kind: 'busy', retryAfterMs: number }
    return { kind: 'held', lease: this.#held(key, owner, number, failures) }
  }

  #held(key: string, owner: string, fence: number, failures: number): HeldLease {
    return {
      fence,
      failures,
      extend: async () => {
        const [isOurs] = await this.#numbers(EXTEND, key, owner, fence, this.#leaseMs)
        return isOurs === 1
      },
      release: async (failures, restMs) => {
        await this.#numbers(RELEASE, key, owner, fence, Math.ceil(restMs), failures)
      },
    }
  }

  async #numbers(
    script: string,
    key: string,
    ...words: readonly (string | number)[]
  ): Promise<number[]> {
    const answer = await this.#redis.eval(script, 1, key, ...words)
    return (Array.isArray(answer) ? answer : [answer]).map(Number)
  }
}

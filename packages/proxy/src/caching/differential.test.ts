import fc from 'fast-check'
import CachePolicy from 'http-cache-semantics'
import t from 'tap'
import { Fields } from '../http/fields.ts'
import { formatHttpDate } from '../http/http-date.ts'
import { ageBase } from './age.ts'
import { parseCacheControl } from './cache-control.ts'
import { DEFAULT_RULE } from './cache-rule.ts'
import { decideReuse } from './decide-reuse.ts'
import { mayStore } from './may-store.ts'

/**
 * The decisions against those of http-cache-semantics, where that library follows RFC 9111. What is generated stays
 * clear of where it does not: statuses beyond those it knows; malformed, upper-case, repeated or quoted directives;
 * qualified private and no-cache; must-understand; targeted fields; Set-Cookie; Date other than now (it leaves out the
 * apparent age); proxy-revalidate (it takes the lifetime for 0); max-age together with max-stale in a request (it does
 * not add them up); stale-while-revalidate.
 */

const STORED_AT = Date.UTC(2026, 5, 15, 12)
const STATUSES = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501]

/** Even, so that an odd max-stale is never equal to a staleness: there the library has < for ≤. */
const evenSeconds = fc.nat({ max: 50 }).map((half) => half * 2)
const flag = (name: string) => fc.constantFrom('', '', name)
const number = (name: string, value: fc.Arbitrary<number>) =>
  fc.option(value).map((seconds) => (seconds === null ? '' : `${name}=${seconds}`))
const list = (...parts: fc.Arbitrary<string>[]) =>
  fc.tuple(...parts).map((words) => words.filter((word) => word !== '').join(', '))

const responses = fc.record({
  status: fc.constantFrom(...STATUSES),
  cacheControl: list(
    number('max-age', evenSeconds),
    number('s-maxage', evenSeconds),
    flag('no-store'),
    flag('no-cache'),
    flag('private'),
    flag('public'),
    flag('must-revalidate'),
    flag('immutable'),
  ),
  expiresIn: fc.option(fc.integer({ min: -50, max: 50 }).map((half) => half * 2)),
  modifiedAgo: fc.option(fc.nat({ max: 50 }).map((step) => step * 20)),
  age: fc.option(evenSeconds),
  tagged: fc.boolean(),
})
const requests = fc.record({
  cacheControl: fc.oneof(
    list(number('max-age', evenSeconds), number('min-fresh', evenSeconds), flag('no-cache')),
    list(
      number(
        'max-stale',
        evenSeconds.map((seconds) => seconds + 1),
      ),
      number('min-fresh', evenSeconds),
    ),
  ),
})
const stored = fc.record({ authorized: fc.boolean(), noStore: fc.boolean() })

class PolicyAt extends CachePolicy {
  at = STORED_AT

  constructor(request: Record<string, string>, status: number, response: Record<string, string>) {
    super(
      { method: 'GET', headers: request },
      { status, headers: response },
      { shared: true, immutableMinTimeToLive: 0 },
    )
  }

  /** Asked for by the constructor of the library, too, when `at` is not set yet. */
  override now(): number {
    return this.at ?? STORED_AT
  }

  isReused(cacheControl: string): boolean {
    const headers: Record<string, string> = {}
    if (cacheControl !== '') headers['cache-control'] = cacheControl
    return this.satisfiesWithoutRevalidation({ method: 'GET', headers })
  }
}

t.test('storing and reusing as http-cache-semantics does, where it is right', async (t) => {
  fc.assert(
    fc.property(stored, responses, requests, evenSeconds, (first, response, second, seconds) => {
      const requestLines = {
        ...(first.authorized ? { authorization: 'x' } : {}),
        ...(first.noStore ? { 'cache-control': 'no-store' } : {}),
      }
      const responseLines = linesOf(response)
      const { status } = response
      const policy = new PolicyAt(requestLines, status, responseLines)
      const fields = Fields.from(Object.entries(responseLines))
      const decision = mayStore({
        method: 'GET',
        requestFields: Fields.from(Object.entries(requestLines)),
        requestDirectives: parseCacheControl(first.noStore ? 'no-store' : undefined),
        status,
        fields,
        responseAt: STORED_AT,
        rule: DEFAULT_RULE,
      })
      if (!decision.store) {
        // What could never be used is not stored here; there it is.
        return decision.reason === 'no-freshness' ? policy.maxAge() === 0 : !policy.storable()
      }
      if (!policy.storable()) return false
      if (isBeyondTheLibrary(response.cacheControl, second.cacheControl)) return true
      const lifetimeMs = decision.policy.freshness.lifetimeMs
      const ageBaseAt = ageBase(fields, STORED_AT, STORED_AT)
      const candidate = {
        ageBaseAt,
        freshUntilAt: ageBaseAt + lifetimeMs,
        policy: decision.policy,
      }
      const now = STORED_AT + seconds * 1000
      const { kind } = decideReuse(candidate, parseCacheControl(second.cacheControl), now)
      policy.at = now
      return policy.isReused(second.cacheControl) === (kind === 'fresh' || kind === 'stale-allowed')
    }),
    { numRuns: 20_000, seed: 11 },
  )
  t.pass('for 20,000 pairs of requests')
})

/**
 * It validates must-revalidate even while fresh (RFC 9111 §5.2.2.2), and lets max-stale get past s-maxage and no-cache
 * (§5.2.2.4, §5.2.2.10).
 */
function isBeyondTheLibrary(response: string, request: string): boolean {
  if (response.includes('must-revalidate')) return true
  return request.includes('max-stale') && /s-maxage|no-cache/.test(response)
}

type Sketch = typeof responses extends fc.Arbitrary<infer Value> ? Value : never

function linesOf({ cacheControl, expiresIn, modifiedAgo, age, tagged }: Sketch) {
  const lines: Record<string, string> = { date: formatHttpDate(STORED_AT) }
  if (cacheControl !== '') lines['cache-control'] = cacheControl
  if (expiresIn !== null) lines.expires = formatHttpDate(STORED_AT + expiresIn * 1000)
  if (modifiedAgo !== null) {
    lines['last-modified'] = formatHttpDate(STORED_AT - modifiedAgo * 1000)
  }
  if (age !== null) lines.age = String(age)
  if (tagged) lines.etag = '"a"'
  return lines
}

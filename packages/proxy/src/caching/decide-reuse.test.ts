import t from 'tap'
import { Fields } from '../http/fields.ts'
import { parseCacheControl } from './cache-control.ts'
import { DEFAULT_RULE } from './cache-rule.ts'
import { decideReuse, mayUseStaleOnError, type ReuseCandidate } from './decide-reuse.ts'
import { reusePolicy } from './may-store.ts'
import { responseDirectives } from './targeted-cache-control.ts'

const STORED_AT = Date.UTC(2026, 5, 15)

function candidate(cacheControl: string): ReuseCandidate {
  const fields = Fields.from([['cache-control', cacheControl]])
  const controls = responseDirectives(fields)
  const policy = reusePolicy(200, fields, controls, DEFAULT_RULE, STORED_AT)
  const freshUntilAt = STORED_AT + policy.freshness.lifetimeMs
  return { ageBaseAt: STORED_AT, freshUntilAt, policy }
}

t.test('may it be used without asking? (RFC 9111 §4, §5.2.1)', async (t) => {
  const rows: [string, string, number, string][] = [
    ['max-age=10', '', 9, 'fresh'],
    ['max-age=10', '', 10, 'stale'],
    ['max-age=10, no-cache', '', 1, 'no-cache'],
    ['max-age=10, no-cache="x"', '', 1, 'fresh'],
    ['max-age=10', 'no-cache', 1, 'request-no-cache'],
    ['max-age=10', 'max-age=5', 5, 'fresh'],
    ['max-age=10', 'max-age=5', 6, 'request-max-age'],
    ['max-age=10', 'max-age=5, max-stale=1', 6, 'fresh'],
    ['max-age=10', 'max-age=5, max-stale', 9, 'fresh'],
    ['max-age=10, must-revalidate', 'max-age=5, max-stale', 9, 'request-max-age'],
    ['max-age=10', 'min-fresh=5', 5, 'fresh'],
    ['max-age=10', 'min-fresh=5', 6, 'request-min-fresh'],
    ['max-age=10', 'max-stale=5', 15, 'stale-allowed'],
    ['max-age=10', 'max-stale=5', 16, 'stale'],
    ['max-age=10', 'max-stale', 99999, 'stale-allowed'],
    ['max-age=10', 'max-stale, min-fresh=1', 11, 'request-min-fresh'],
    ['max-age=10, must-revalidate', 'max-stale', 11, 'stale'],
    ['s-maxage=10', 'max-stale', 11, 'stale'],
    ['max-age=10, stale-while-revalidate=5', '', 14, 'stale-while-revalidate'],
    ['max-age=10, stale-while-revalidate=5', '', 15, 'stale'],
    ['max-age=10, stale-while-revalidate=5', 'max-age=12', 14, 'request-max-age'],
    ['max-age=10, stale-while-revalidate=5, must-revalidate', '', 14, 'stale'],
    ['max-age=10, immutable', 'no-cache', 1, 'request-no-cache'],
  ]
  for (const [response, request, ageSeconds, expected] of rows) {
    const now = STORED_AT + ageSeconds * 1000
    const decision = decideReuse(candidate(response), parseCacheControl(request), now)
    const word = decision.kind === 'validate' ? decision.reason : decision.kind
    t.equal(word, expected, `${response} | ${request} | ${ageSeconds} s`)
  }
})

t.test('may it be used when the origin fails? (RFC 5861 §4, RFC 9111 §4.2.4)', async (t) => {
  const day = 86_400
  const rows: [string, string, number, boolean, boolean][] = [
    ['max-age=10', '', 11, false, true],
    ['max-age=10', '', day + 10, false, true],
    ['max-age=10', '', day + 11, false, false],
    ['max-age=10, stale-if-error=60', '', 70, true, true],
    ['max-age=10, stale-if-error=60', '', 71, false, false],
    ['max-age=10, stale-if-error=0', '', 11, false, false],
    ['max-age=10', 'stale-if-error=60', 70, true, true],
    ['max-age=10, stale-if-error=60', 'no-cache', 11, false, false],
    ['max-age=10, stale-if-error=60, must-revalidate', '', 11, false, false],
    ['max-age=10, stale-if-error=60, proxy-revalidate', '', 11, false, false],
    ['s-maxage=10, stale-if-error=60', '', 11, false, false],
    ['max-age=10, stale-if-error=60, no-cache', '', 11, false, false],
  ]
  for (const [response, request, ageSeconds, onError, onUnreachable] of rows) {
    const now = STORED_AT + ageSeconds * 1000
    const name = `${response} | ${request} | ${ageSeconds} s`
    const stored = candidate(response)
    const directives = parseCacheControl(request)
    t.equal(mayUseStaleOnError(stored, directives, 'error-status', now), onError, name)
    t.equal(mayUseStaleOnError(stored, directives, 'unreachable', now), onUnreachable, name)
  }
})

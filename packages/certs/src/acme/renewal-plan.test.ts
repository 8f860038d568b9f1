import fc from 'fast-check'
import t from 'tap'
import type { CertificateFacts } from '../read.ts'
import { type FailedAttempt, renewalDue, retryDelayMs } from './renewal-plan.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const NAMES = ['a.test', 'www.a.test']

function facts(more: Partial<CertificateFacts> = {}): CertificateFacts {
  const period = { notBeforeAt: 0, notAfterAt: 90 * DAY_MS }
  const issued = { issuer: 'CN=Authority', serial: '01', keyKind: 'ecdsa' } as const
  return { names: NAMES, ...period, ...issued, fingerprint: '00'.repeat(32), ...more }
}

function window(startDay: number, endDay: number) {
  return { startAt: startDay * DAY_MS, endAt: endDay * DAY_MS, explanationUrl: undefined }
}

t.test('what is not there, or not for all names, is due at once', async (t) => {
  t.same(renewalDue(null, NAMES, null, 7), { at: 7, reason: 'first' })
  t.same(renewalDue(facts(), [...NAMES, 'b.test'], null, 7), { at: 7, reason: 'names' })
  t.match(renewalDue(facts(), ['a.test'], null, 7), { reason: 'lifetime' })
  t.match(renewalDue(facts({ names: ['*.a.test'] }), ['x.a.test'], null, 7), { reason: 'lifetime' })
})

t.test('two thirds of the lifetime, spread by what differs between certificates', async (t) => {
  t.same(renewalDue(facts(), NAMES, null, 0), { at: 60 * DAY_MS, reason: 'lifetime' })
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9a-f]{64}$/), (fingerprint) => {
      const { at } = renewalDue(facts({ fingerprint }), NAMES, null, 0)
      return at > 55.4 * DAY_MS && at <= 60 * DAY_MS
    }),
  )
})

t.test('an instant within the suggested window, the same each time (RFC 9773 §4.2)', async (t) => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9a-f]{64}$/), (fingerprint) => {
      const due = renewalDue(facts({ fingerprint }), NAMES, window(40, 42), 0)
      const again = renewalDue(facts({ fingerprint }), NAMES, window(40, 42), 41 * DAY_MS)
      const isWithin = due.at >= 40 * DAY_MS && due.at < 42 * DAY_MS
      return isWithin && due.at === again.at && due.reason === 'authority'
    }),
  )
  t.ok(renewalDue(facts(), NAMES, window(-9, -8), 0).at < 0, 'a window in the past means now')
  const late = renewalDue(facts(), NAMES, window(95, 99), 0)
  t.same(late, { at: 81 * DAY_MS, reason: 'lifetime' }, 'never without time for what can go wrong')
})

const CASES: [name: string, attempt: Partial<FailedAttempt>, delayMs: number][] = [
  ['the first', { failures: 1 }, MINUTE_MS],
  ['the second', { failures: 2 }, 4 * MINUTE_MS],
  ['the fourth', { failures: 4 }, 64 * MINUTE_MS],
  ['the tenth', { failures: 10 }, 12 * HOUR_MS],
  ['the thousandth', { failures: 1000 }, 12 * HOUR_MS],
  ['little time left', { failures: 10, timeLeftMs: 8 * HOUR_MS }, HOUR_MS],
  ['hardly any time left', { failures: 10, timeLeftMs: MINUTE_MS }, MINUTE_MS],
  ['nothing served', { failures: 10, timeLeftMs: 0 }, HOUR_MS],
  ['expired', { failures: 10, timeLeftMs: -DAY_MS }, HOUR_MS],
  ['nobody answers', { failures: 10, fault: 'unreachable' }, 15 * MINUTE_MS],
  ['a rate limit without a time', { failures: 1, isRateLimited: true }, HOUR_MS],
]

t.test('attempts become rarer, and are never given up', async (t) => {
  const plain: FailedAttempt = {
    failures: 1,
    fault: 'validation',
    isRateLimited: false,
    retryAfterMs: undefined,
    timeLeftMs: 30 * DAY_MS,
  }
  for (const [name, attempt, delayMs] of CASES) {
    t.equal(retryDelayMs({ ...plain, ...attempt }, 0.5), delayMs, name)
    t.equal(retryDelayMs({ ...plain, ...attempt }, 0), delayMs * 0.75, `${name}, at the earliest`)
  }
  fc.assert(
    fc.property(
      fc.record({
        failures: fc.integer({ min: 1, max: 1e6 }),
        fault: fc.constantFrom('unreachable', 'refused', 'validation', 'here'),
        isRateLimited: fc.boolean(),
        retryAfterMs: fc.option(fc.integer({ min: 0, max: 7 * DAY_MS }), { nil: undefined }),
        timeLeftMs: fc.integer({ min: -400 * DAY_MS, max: 400 * DAY_MS }),
      }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempt, chance) => {
        const delayMs = retryDelayMs(attempt, chance)
        const wanted = attempt.retryAfterMs ?? 0
        return delayMs >= wanted && delayMs >= 45_000 && delayMs <= 8 * DAY_MS
      },
    ),
  )
})

import { type CertificateFacts, coversName } from '../read.ts'
import type { AcmeFault } from './acme-error.ts'
import type { RenewalWindow } from './resources.ts'

/** When to renew, and when to try again: decisions alone, in epoch ms and ms. */

export type RenewalReason = 'first' | 'names' | 'lifetime' | 'authority'

export interface RenewalDue {
  readonly at: number
  readonly reason: RenewalReason
}

/** Of the lifetime: what is spread, so that certificates that came together do not come together again. */
const SPREAD = 1 / 20
/** Whatever the authority suggests, so much of the lifetime is left for what can go wrong. */
const LATEST = 9 / 10

/**
 * `facts` null: there is no certificate yet. The chance in it comes from the certificate itself, so that every machine
 * and every restart choose the same instant.
 */
export function renewalDue(
  facts: CertificateFacts | null,
  names: readonly string[],
  window: RenewalWindow | null,
  now: number,
): RenewalDue {
  if (facts === null) return { at: now, reason: 'first' }
  if (names.some((name) => !coversName(facts, name))) return { at: now, reason: 'names' }
  const { notBeforeAt, notAfterAt } = facts
  const lifetimeMs = notAfterAt - notBeforeAt
  const chance = Number.parseInt(facts.fingerprint.slice(0, 8), 16) / 2 ** 32
  if (window === null) {
    return { at: notBeforeAt + lifetimeMs * (2 / 3 - chance * SPREAD), reason: 'lifetime' }
  }
  // RFC 9773 §4.2: an instant within the window, at random.
  const suggestedAt = window.startAt + chance * (window.endAt - window.startAt)
  const latestAt = notBeforeAt + lifetimeMs * LATEST
  if (suggestedAt > latestAt) return { at: latestAt, reason: 'lifetime' }
  return { at: suggestedAt, reason: 'authority' }
}

const FIRST_DELAY_MS = 60_000
const GROWTH = 4
const MAX_DELAY_MS = 12 * 3_600_000
/** While nothing is served, and while nobody answers: neither wears out what the authority allows. */
const MAX_URGENT_DELAY_MS = 3_600_000
const MAX_UNREACHABLE_DELAY_MS = 15 * 60_000
const RATE_LIMITED_DELAY_MS = 3_600_000
const MAX_RETRY_AFTER_MS = 7 * 86_400_000

export interface FailedAttempt {
  /** In a row, with this one. */
  readonly failures: number
  readonly fault: AcmeFault
  readonly isRateLimited: boolean
  /** What the authority asks for. */
  readonly retryAfterMs: number | undefined
  /** Until the certificate that is served expires; at most 0 when there is none. */
  readonly timeLeftMs: number
}

/**
 * Four attempts in the first hour: authorities stop listening after five that fail. `chance` in [0, 1) keeps machines
 * apart. Nothing is tried before the authority wants it (RFC 8555 §6.6).
 */
export function retryDelayMs(attempt: FailedAttempt, chance: number): number {
  const { failures, fault, isRateLimited, retryAfterMs = 0, timeLeftMs } = attempt
  const grown = FIRST_DELAY_MS * GROWTH ** Math.min(failures - 1, 10)
  const most =
    fault === 'unreachable'
      ? MAX_UNREACHABLE_DELAY_MS
      : timeLeftMs <= 0
        ? MAX_URGENT_DELAY_MS
        : Math.max(FIRST_DELAY_MS, Math.min(MAX_DELAY_MS, timeLeftMs / 8))
  const least = isRateLimited && retryAfterMs === 0 ? RATE_LIMITED_DELAY_MS : 0
  const delayMs = Math.max(Math.min(grown, most), least) * (0.75 + chance / 2)
  return Math.max(delayMs, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + chance / 20))
}

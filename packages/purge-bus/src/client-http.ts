import { PurgeRefusedError, type PurgeTransport } from './client-transport.ts'
import type { Receipt } from './receipt.ts'

/** What a call may take beyond the time that it waits for workers. */
const ANSWER_WITHIN_MS = 10_000
const MAX_REASON_LENGTH = 1_000

/** `POST /api/v1/purge`; without waiting `?wait=false`. */
export function httpPurgeClient(url: string, token: string | undefined): PurgeTransport {
  const endpoint = new URL('/api/v1/purge', url)
  return {
    async publish(message, waitMs) {
      const target = new URL(endpoint)
      target.searchParams.set('wait', waitMs > 0 ? `${waitMs}ms` : 'false')
      const body = message.type === 'all' ? { ...message, confirm: true } : message
      const response = await fetch(target, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(message.reference === undefined ? {} : { 'idempotency-key': message.reference }),
        },
        body: JSON.stringify(body),
        redirect: 'error',
        signal: AbortSignal.timeout(waitMs + ANSWER_WITHIN_MS),
      })
      const text = await response.text()
      // What the admin API promises for its successes.
      if (response.ok) return JSON.parse(text) as Receipt
      const reason = `${response.status}: ${text.slice(0, MAX_REASON_LENGTH)}`
      // 429: too many at once, which passes.
      const isFinal = response.status >= 400 && response.status < 500 && response.status !== 429
      throw isFinal
        ? new PurgeRefusedError(reason)
        : new Error(`the purge was not taken: ${reason}`)
    },
    async close() {},
  }
}

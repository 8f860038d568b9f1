import type { PurgeMessage } from '@larder/purge-bus'
import { Fields } from '../http/fields.ts'
import type { RequestHead, ResponseHead } from '../transport/exchange.ts'

/** What became of a purge, as HTTP says it. */
export interface PurgeAnswer {
  readonly status: number
  /** A receipt, or a problem (RFC 9457). */
  readonly body: Readonly<Record<string, unknown>>
}

/** `PURGE <url>`: of this URL alone, softly with `larder-soft-purge: 1`. */
export function purgeOf(request: RequestHead): PurgeMessage {
  const { scheme, authority, target, fields } = request
  const soft = fields.get('larder-soft-purge') === '1'
  const reference = fields.get('idempotency-key')
  return {
    type: 'url',
    urls: [`${scheme}://${authority}${target}`],
    soft,
    ...(reference === undefined ? {} : { reference }),
  }
}

export function purgeResponse({ status, body }: PurgeAnswer): {
  head: ResponseHead
  bytes: Buffer
} {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
  const type = status < 400 ? 'application/json' : 'application/problem+json'
  const fields = new Fields(['content-type', type])
  fields.add('content-length', String(bytes.length))
  fields.add('cache-control', 'no-store')
  return { head: { status, fields }, bytes }
}

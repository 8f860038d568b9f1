import type { Test } from 'tap'
import { loadConfigText } from '../../packages/proxy/src/config/load.ts'
import { Fields } from '../../packages/proxy/src/http/fields.ts'
import type { ProxyError } from '../../packages/proxy/src/http/proxy-error.ts'
import type { OriginFetch, OriginGroup } from '../../packages/proxy/src/origin/origin-fetch.ts'
import { OriginResolver } from '../../packages/proxy/src/origin/resolver.ts'
import { TenantOrigins } from '../../packages/proxy/src/origin/tenant-origins.ts'
import type { RequestBody } from '../../packages/proxy/src/transport/exchange.ts'
import { TimerWheel } from '../../packages/proxy/src/transport/timer-wheel.ts'

/** The origins of one tenant as an operator writes them, without a proxy in front. */
export function startOrigins(
  t: Test,
  tenant: Readonly<Record<string, unknown>>,
  resolver = new OriginResolver(),
): OriginGroup {
  const written = {
    listen: { http: ['127.0.0.1:0'] },
    tenants: [{ id: 'test', hosts: ['*'], ...tenant }],
  }
  const loaded = loadConfigText(JSON.stringify(written), 'larder.json')
  if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('\n'))
  const wheel = new TimerWheel().start()
  const origins = new TenantOrigins(loaded.config.tenants[0], wheel, resolver)
  t.teardown(() => {
    origins.close()
    wheel.stop()
  })
  return origins
}

export interface Fetched {
  readonly status: number
  readonly text: string
  readonly error: ProxyError | undefined
  /** From the call to its end. */
  readonly tookMs: number
}

/** A GET, or a POST when there is a body; `onChunk` sees each piece of the answer as it comes. */
export function fetchFrom(
  origins: OriginGroup,
  target: string,
  onChunk: (fetch: OriginFetch) => void = () => {},
  body: RequestBody | null = null,
): Promise<Fetched> {
  return new Promise((resolve) => {
    const startedAt = performance.now()
    const chunks: Buffer[] = []
    let status = 0
    const settle = (error?: ProxyError) => {
      const tookMs = performance.now() - startedAt
      resolve({ status, text: Buffer.concat(chunks).toString(), error, tookMs })
    }
    const method = body === null ? 'GET' : 'POST'
    const request = { method, target, fields: new Fields(), body }
    const fetch = origins.fetch(request, {
      onInterim() {},
      onHead(received) {
        status = received
      },
      onChunk(chunk) {
        chunks.push(chunk)
        onChunk(fetch)
      },
      onEnd: () => settle(),
      onError: settle,
    })
  })
}

import type { WorkerListener } from '../supervisor/messages.ts'

export interface BannerFacts {
  readonly listeners: readonly WorkerListener[]
  readonly admin: readonly string[]
  readonly workers: number
  readonly hasSampleOrigin: boolean
  readonly origin: string | undefined
}

/** What a person sees after `larder start`: where it listens, and lines to try. */
export function banner(facts: BannerFacts): string {
  const http = urlsOf(facts, 'http')
  const https = urlsOf(facts, 'https')
  const admin = facts.admin.map((address) => `http://${forClients(address)}`)
  const lines = [`Larder serves with ${facts.workers} worker${facts.workers === 1 ? '' : 's'}`, '']
  for (const url of [...http, ...https]) lines.push(`  ${url}`)
  for (const url of admin) lines.push(`  ${url}  (admin API)`)
  if (facts.origin !== undefined) lines.push('', `in front of ${facts.origin}`)
  if (facts.hasSampleOrigin) lines.push('', 'in front of a small sample origin of its own')
  const path = facts.hasSampleOrigin ? '/hello.txt' : '/'
  const tries: string[] = []
  if (http.length > 0) tries.push(`curl -i ${http[0]}${path}`)
  if (https.length > 0) tries.push(`curl -ik --http2 ${https[0]}${path}`)
  if (admin.length > 0) tries.push(`curl ${admin[0]}/api/v1/stats`)
  lines.push('', 'Try:', '', ...tries.map((line) => `  ${line}`))
  if (admin.length > 0) lines.push('', `Admin API: ${admin[0]}/api/v1/openapi.json`)
  return `${lines.join('\n')}\n\n`
}

function urlsOf(facts: BannerFacts, kind: 'http' | 'https'): string[] {
  const urls = facts.listeners
    .filter((listener) => listener.kind === kind)
    .map((listener) => `${kind}://${forClients(listener.address)}`)
  return [...new Set(urls)]
}

/** Loopback and "every address" by the name that a client on this machine uses. */
function forClients(address: string): string {
  return address.replace(/^(127\.0\.0\.1|0\.0\.0\.0|\[::1?\]):/, 'localhost:')
}

import type { Test } from 'tap'
import { get, type LarderProcess, startOrigin } from './larder-process.ts'

/** An origin whose every answer says its version, which the test raises: an old body gives itself away. */
export interface VersionedOrigin {
  readonly url: string
  version: number
  /** Requests that it got, by path. */
  readonly asked: Map<string, number>
}

/** Tags of a response: `all`, and what its query's `tags` names. */
export async function startVersionedOrigin(t: Test): Promise<VersionedOrigin> {
  const asked = new Map<string, number>()
  const url = await startOrigin(t, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://origin.test')
    asked.set(pathname, (asked.get(pathname) ?? 0) + 1)
    const tags = ['all', ...searchParams.getAll('tag')]
    response.setHeader('cache-control', 'max-age=3600')
    if (request.method === 'POST') response.setHeader('cache-group-invalidation', '"all"')
    response.setHeader('surrogate-key', tags.join(' '))
    response.end(String(origin.version))
  })
  const origin: VersionedOrigin = { url, version: 1, asked }
  return origin
}

/** What every worker of the proxy answers: as many connections as it takes to meet each of them, give or take one. */
export async function versionsSeen(larder: LarderProcess, path: string): Promise<number[]> {
  const seen = new Set<number>()
  for (let i = 0; i < 8; i++) {
    const { body } = await get(`http://127.0.0.1:${larder.httpPort}${path}`)
    seen.add(Number(body))
  }
  return [...seen].sort((a, b) => a - b)
}

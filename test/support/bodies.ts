import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** Bodies that follow from their path, so that whoever gets one can tell whether it is right. */

const known = new Map<string, Buffer>()

/** `/stored/…` may be stored, everything else not; `?size=` in bytes. */
export function pathOf(kind: 'stored' | 'passed', name: string, sizeBytes: number): string {
  return `/${kind}/${name}?size=${sizeBytes}`
}

/** What the origin answers for `host` and `path`. */
export function bodyOf(host: string, path: string): Buffer {
  const key = `${host}${path}`
  let body = known.get(key)
  if (body === undefined) {
    const size = Number(/size=(\d+)/.exec(path)?.[1] ?? 100)
    const line = `${key} ${createHash('sha256').update(key).digest('hex')}\n`
    body = Buffer.alloc(size, line)
    // As many as a test has names for; passed bodies with a counter in their path are not kept.
    if (known.size < 1000) known.set(key, body)
  }
  return body
}

/** Half of the answers without a length: those end by their framing alone. */
export function answerWithBody(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '/'
  const body = bodyOf(request.headers.host ?? '', path)
  response.setHeader('etag', `"${createHash('sha256').update(body).digest('base64url')}"`)
  response.setHeader(
    'cache-control',
    path.startsWith('/stored/') ? 'public, max-age=600' : 'no-store',
  )
  if (body.length % 2 === 0) {
    response.setHeader('content-length', body.length)
    response.end(body)
  } else {
    response.write(body.subarray(0, body.length >> 1))
    response.end(body.subarray(body.length >> 1))
  }
}

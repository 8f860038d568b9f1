import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { bodyOf, type Page } from './page.ts'
import type { Promises } from './promises.ts'
import type { Random } from './random.ts'

/**
 * Answers with the version that a page had when it was asked for, some time later perhaps: what is purged meanwhile is
 * old before it arrives.
 */
export function answerFrom(pages: readonly Page[], promises: Promises, random: Random) {
  const byPath = new Map(pages.map((page) => [page.path, page]))
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.on('error', () => {})
    const page = byPath.get(request.url ?? '')
    if (page === undefined) {
      response.writeHead(404).end()
      return
    }
    const version = promises.versionOf(page)
    promises.note(page, `the origin is asked, and answers version ${version}`)
    const [beforeMs, betweenMs] = [slowness(random), slowness(random)]
    // Validators of an answer of 200 hold its tags too; a 304 may leave them out (RFC 9110 §15.4.5).
    const repeatsTags = random.chance(0.5)
    if (beforeMs > 0) await wait(beforeMs)
    const etag = `"v${version}"`
    response.setHeader('cache-control', page.cacheControl)
    if (page.hasEtag) response.setHeader('etag', etag)
    const isUnchanged = page.hasEtag && request.headers['if-none-match'] === etag
    if (page.tags.length > 0 && (!isUnchanged || repeatsTags)) {
      response.setHeader('surrogate-key', page.tags.join(' '))
    }
    if (isUnchanged) {
      response.writeHead(304).end()
      return
    }
    const content = partOf(request, response, bodyOf(page, version), page.hasEtag ? etag : null)
    if (!page.isChunked) response.setHeader('content-length', content.length)
    if (betweenMs > 0) {
      response.write(content.subarray(0, content.length >> 1))
      await wait(betweenMs)
      response.end(content.subarray(content.length >> 1))
    } else response.end(content)
  }
}

function partOf(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  etag: string | null,
): Buffer {
  const asked = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  const condition = request.headers['if-range']
  if (asked === null || (condition !== undefined && condition !== etag)) return body
  const part = body.subarray(Number(asked[1]), Number(asked[2]) + 1)
  response.statusCode = 206
  const last = Number(asked[1]) + part.length - 1
  response.setHeader('content-range', `bytes ${asked[1]}-${last}/${body.length}`)
  return part
}

function slowness(random: Random): number {
  return random.chance(0.1) ? random.between(20, 700) : 0
}

import { randomBytes } from 'node:crypto'
import { currentAgeSeconds } from '../caching/age.ts'
import { responseDate } from '../caching/freshness.ts'
import { Fields } from '../http/fields.ts'
import { planMultipart } from '../http/multipart-byteranges.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type { ByteRange } from '../http/range.ts'
import { sfString } from '../http/structured-text.ts'
import { addPeerMetadata, PEER_AGE_FIELD } from '../peers/peer-request.ts'
import { StoredResponse } from '../storage/stored-response.ts'
import type { ResponseWriter } from '../transport/exchange.ts'
import { clientSafe } from './judge-response.ts'
import { bodyLengthOf, type Reusable } from './large-stored.ts'
import type { ResponseStream } from './response-stream.ts'
import { type ContentSelection, notModifiedFields, selectContent } from './select-content.ts'
import { sendBody } from './send-body.ts'
import { addStrictTransport } from './strict-transport.ts'
import type { Transaction, WantedBytes } from './transaction.ts'

/** Answers from a complete stored response: 304, 206, 416 or whole. `now` in epoch ms. */
export function answerStored(tx: Transaction, stored: Reusable, now: number): void {
  const { request } = tx
  const fields = storedFields(tx, stored, now)
  const selection = selectContent(
    request.method,
    request.fields,
    {
      status: stored.status,
      completeLength: bodyLengthOf(stored),
      entityTag: stored.entityTag,
      lastModified: stored.lastModified,
      dateAt: stored.dateAt,
    },
    now,
  )
  const length = bodyLengthOf(stored)
  if (selection.kind === 'ranges' && selection.ranges.length > 1) {
    if (stored instanceof StoredResponse) {
      return respondMultipart(tx, fields, stored.body, selection.ranges)
    }
    // RFC 9110 §14.2: a server may ignore Range; parts of what is on disk are not worth a buffer.
    return respondWithBody(tx, stored.status, fields, stored, 0, length)
  }
  if (selection.kind === 'whole') {
    return respondWithBody(tx, stored.status, fields, stored, 0, length)
  }
  const head = partialHead(selection, fields, length)
  if (selection.kind !== 'ranges') return respond(tx, head.status, head.fields, null)
  const [range] = selection.ranges
  respondWithBody(tx, head.status, head.fields, stored, range.first, range.last + 1)
}

/** Answers the request for one slice with what is stored of it. */
export function answerSlice(
  tx: Transaction,
  stored: Reusable,
  { first, end }: WantedBytes,
  now: number,
): void {
  respondWithBody(tx, stored.status, storedFields(tx, stored, now), stored, first, end)
}

/** Bytes [first, end) of a stored body: from memory at once, from elsewhere as they are read. */
function respondWithBody(
  tx: Transaction,
  status: number,
  fields: Fields,
  stored: Reusable,
  first: number,
  end: number,
): void {
  if (stored instanceof StoredResponse) {
    return respond(tx, status, fields, stored.body.subarray(first, end))
  }
  if (tx.request.method === 'HEAD') return respond(tx, status, fields, null)
  noteHead(tx, status, fields)
  const writer = tx.exchange.respondStreaming({ status, fields })
  void sendBody(tx, writer, stored.handle.read(first, end))
}

/** Answers a range that lies within a stored part. */
export function answerStoredPart(
  tx: Transaction,
  stored: StoredResponse,
  range: ByteRange,
  now: number,
): void {
  const first = stored.part?.first ?? 0
  const completeLength = stored.part?.completeLength ?? stored.body.length
  const selection: ContentSelection = { kind: 'ranges', ranges: [range] }
  const head = partialHead(selection, storedFields(tx, stored, now), completeLength)
  respond(tx, 206, head.fields, stored.body.subarray(range.first - first, range.last + 1 - first))
}

/**
 * Answers with a response that is still coming; `fields` are for this client alone. `completeLength` is undefined
 * when the origin did not say: then there are no ranges.
 */
export function answerStreaming(
  tx: Transaction,
  status: number,
  fields: Fields,
  completeLength: number | undefined,
  stream: ResponseStream,
  now: number,
): void {
  const { request } = tx
  fields.add('cache-status', tx.outcome.cacheStatus())
  const { slice, wanted } = tx
  if (slice !== null && wanted !== null) {
    // To its very end, so that a body which is longer or never ends is noticed.
    const isLast = wanted.end === slice.range.last - slice.range.first + 1
    return startStream(tx, status, fields, stream, wanted.first, isLast ? Infinity : wanted.end)
  }
  const representation = {
    status,
    completeLength,
    entityTag: fields.get('etag'),
    lastModified: fields.get('last-modified'),
    dateAt: responseDate(fields, now),
  }
  const selection = selectContent(request.method, request.fields, representation, now)
  const single = selection.kind !== 'ranges' || selection.ranges.length === 1
  if (selection.kind === 'whole' || !single || completeLength === undefined) {
    // RFC 9110 §14.2: a server may ignore Range; several parts of what is not here yet are not worth buffering.
    if (selection.kind !== 'not-modified')
      return startStream(tx, status, fields, stream, 0, Infinity)
  }
  const head = partialHead(selection, fields, completeLength ?? 0)
  if (selection.kind !== 'ranges') return respond(tx, head.status, head.fields, null)
  const [range] = selection.ranges
  startStream(tx, head.status, head.fields, stream, range.first, range.last + 1)
}

/** Answers with what the origin made of the client's own conditions and range. */
export function answerPassed(
  tx: Transaction,
  status: number,
  fields: Fields,
  stream: ResponseStream,
): void {
  fields.add('cache-status', tx.outcome.cacheStatus())
  startStream(tx, status, fields, stream, 0, Infinity)
}

function startStream(
  tx: Transaction,
  status: number,
  fields: Fields,
  stream: ResponseStream,
  first: number,
  end: number,
): void {
  const { exchange } = tx
  // RFC 9110 §6.4.1: these have no content, whatever the origin sends.
  if (tx.request.method === 'HEAD' || status === 204 || status === 304) {
    return respond(tx, status, fields, null)
  }
  noteHead(tx, status, fields)
  const writer: ResponseWriter = exchange.respondStreaming({ status, fields })
  stream.addReader(exchange, writer, first, end)
}

export function respond(
  tx: Transaction,
  status: number,
  fields: Fields,
  body: Uint8Array | null | undefined,
): void {
  noteHead(tx, status, fields)
  tx.exchange.respond({ status, fields }, body ?? null)
}

/** For every head that goes out, just before it does. */
export function noteHead(tx: Transaction, status: number, fields: Fields): void {
  addStrictTransport(fields, tx)
  tx.status = status
  tx.firstByteMs = performance.now() - tx.exchange.startedAt
}

/** Fields of an answer from the store: Age (RFC 9111 §5.1) and Cache-Status added, what was for us alone left out. */
export function storedFields(tx: Transaction, stored: Reusable, now: number): Fields {
  tx.outcome.ttlSeconds = Math.ceil((stored.freshUntilAt - now) / 1000)
  // Another worker judges by what the origin said to this cache.
  const fields = tx.fromPeer ? stored.fields.clone() : clientSafe(stored.fields, null)
  // Where a ready head has it: in front of what is written for each answer.
  addStrictTransport(fields, tx)
  fields.add('age', String(currentAgeSeconds(stored.ageBaseAt, now)))
  fields.add('cache-status', tx.outcome.cacheStatus())
  if (tx.fromPeer) {
    fields.add(PEER_AGE_FIELD, String(stored.ageBaseAt))
    addPeerMetadata(fields, stored)
  }
  return fields
}

/** Status and fields of a 304, 206 or 416 made from those of a 200. */
export function partialHead(
  selection: ContentSelection,
  fields: Fields,
  completeLength: number,
): { status: number; fields: Fields } {
  if (selection.kind === 'not-modified') return { status: 304, fields: notModifiedFields(fields) }
  if (selection.kind === 'ranges') {
    const [range] = selection.ranges
    fields.set('content-range', `bytes ${range.first}-${range.last}/${completeLength}`)
    fields.set('content-length', String(range.last - range.first + 1))
    return { status: 206, fields }
  }
  // RFC 9110 §15.5.17
  const refused = notModifiedFields(fields)
  refused.set('content-range', `bytes */${completeLength}`)
  refused.set('content-length', '0')
  return { status: 416, fields: refused }
}

function respondMultipart(
  tx: Transaction,
  fields: Fields,
  body: Buffer,
  ranges: readonly ByteRange[],
): void {
  const boundary = randomBytes(16).toString('hex')
  const plan = planMultipart(ranges, body.length, fields.get('content-type'), boundary)
  const pieces: Buffer[] = []
  ranges.forEach((range, index) => {
    pieces.push(plan.heads[index], body.subarray(range.first, range.last + 1))
  })
  pieces.push(plan.tail)
  fields.set('content-type', plan.contentType)
  fields.set('content-length', String(plan.length))
  respond(tx, 206, fields, Buffer.concat(pieces, plan.length))
}

export function answerRedirect(tx: Transaction, status: number, location: string): void {
  const cacheStatus = tx.outcome.cacheStatus()
  const fields = ['location', location, 'content-length', '0', 'cache-status', cacheStatus]
  respond(tx, status, new Fields(fields), null)
}

/** An answer of the proxy's own. Messages about origins stay in the log: their names are not the client's business. */
export function answerError(tx: Transaction, error: ProxyError): void {
  tx.outcome.error = error.code
  const ofClient = error.code.startsWith('ORIGIN') === false && error.code !== 'INTERNAL'
  const text = `${error.status} ${error.code}${ofClient ? `: ${error.message}` : ''}\n`
  const body = Buffer.from(text, 'utf8')
  const fields = new Fields([
    'content-type',
    'text/plain; charset=utf-8',
    'content-length',
    String(body.length),
    'cache-control',
    'no-store',
    'x-content-type-options',
    'nosniff',
    'cache-status',
    tx.outcome.cacheStatus(),
  ])
  if (error.proxyStatus !== null) {
    const details = ofClient ? `; details=${sfString(error.message)}` : ''
    fields.add('proxy-status', `Larder; error=${error.proxyStatus}${details}`)
  }
  if (error.status === 405) fields.add('allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  if (error.status === 503) fields.add('retry-after', '1')
  respond(tx, error.status, fields, body)
}

import type { Fields } from '../http/fields.ts'
import { ReadyHeads, type StoredResponse } from '../storage/stored-response.ts'
import { encodeHttp1Head } from '../transport/h1/response-head.ts'
import { encodeHeadBlock } from '../transport/h2/hpack-encoder.ts'
import { clientSafe } from './judge-response.ts'
import { notModifiedFields } from './select-content.ts'
import { STRICT_TRANSPORT } from './strict-transport.ts'

/*
 * The heads of a stored response as octets, each made at the first hit that needs it: they are what `answerStored` would
 * have sent, but for Age and Cache-Status, which the transports write behind them. As flat text they are one object of
 * the heap; a buffer of its own takes 400 bytes more, and one out of Node's pool keeps all of the pool's slab alive.
 */

/** `strictTransport`: what the tenant says over TLS; null when it says nothing, and over plain HTTP. */
export function http1HeadOf(
  stored: StoredResponse,
  notModified: boolean,
  strictTransport: string | null,
): string {
  const heads = headsOf(stored, strictTransport)
  if (notModified) {
    heads.http1NotModified ??= asText(encodeHttp1Head(304, fieldsOf(stored, true, strictTransport)))
    return heads.http1NotModified
  }
  heads.http1 ??= asText(encodeHttp1Head(stored.status, fieldsOf(stored, false, strictTransport)))
  return heads.http1
}

export function hpackHeadOf(
  stored: StoredResponse,
  notModified: boolean,
  strictTransport: string | null,
): string {
  const heads = headsOf(stored, strictTransport)
  if (notModified) {
    heads.hpackNotModified ??= asText(encodeHeadBlock(304, fieldsOf(stored, true, strictTransport)))
    return heads.hpackNotModified
  }
  heads.hpack ??= asText(encodeHeadBlock(stored.status, fieldsOf(stored, false, strictTransport)))
  return heads.hpack
}

/** Those that are there, unless they were made for another configuration. */
function headsOf(stored: StoredResponse, strictTransport: string | null): ReadyHeads {
  const { ready } = stored
  if (ready !== null && ready.strictTransport === strictTransport) return ready
  stored.ready = new ReadyHeads(strictTransport)
  return stored.ready
}

function fieldsOf(
  stored: StoredResponse,
  notModified: boolean,
  strictTransport: string | null,
): Fields {
  const fields = clientSafe(stored.fields, null)
  if (strictTransport !== null) fields.set(STRICT_TRANSPORT, strictTransport)
  return notModified ? notModifiedFields(fields) : fields
}

function asText(octets: Buffer): string {
  return octets.latin1Slice(0, octets.length)
}

import type { ReadyHeads, StoredResponse } from '../storage/stored-response.ts'
import { encodeHttp1Head } from '../transport/h1/response-head.ts'
import { encodeHeadBlock } from '../transport/h2/hpack-encoder.ts'
import { clientSafe } from './judge-response.ts'
import { notModifiedFields } from './select-content.ts'

/**
 * The heads of a stored response as bytes, made once at its first hit: they are what `answerStored` would have sent,
 * but for Age and Cache-Status, which the transports write behind them.
 */
export function readyHeads(stored: StoredResponse): ReadyHeads {
  if (stored.ready !== null) return stored.ready
  const fields = clientSafe(stored.fields, null)
  const notModified = notModifiedFields(fields)
  stored.ready = {
    http1: encodeHttp1Head(stored.status, fields),
    hpack: encodeHeadBlock(stored.status, fields),
    http1NotModified: encodeHttp1Head(304, notModified),
    hpackNotModified: encodeHeadBlock(304, notModified),
  }
  return stored.ready
}

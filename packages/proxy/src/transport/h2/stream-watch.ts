import type { TransportLimits } from '../limits.ts'
import type { Connection } from './connection.ts'
import { ERROR, FRAME } from './frame.ts'
import type { Http2Stream } from './stream.ts'

/** Content that a stream whose window is the obstacle must move per `writeTimeoutMs`, or it counts as stalled. */
const MIN_PROGRESS_BYTES = 1024

/** How often streams are looked at: a part of the shortest limit, so that none is exceeded by more than this part. */
export function watchIntervalMs(limits: TransportLimits): number {
  const { bodyRateWindowMs, writeTimeoutMs, bodyTimeoutMs } = limits
  return Math.max(100, Math.min(bodyRateWindowMs, writeTimeoutMs, bodyTimeoutMs) / 8)
}

/** Ends the streams of a slow client. One deadline per connection looks at all of them, instead of timers for each. */
export function watchStreams(connection: Connection): void {
  for (const stream of connection.streams.values()) {
    if (isSlowSender(connection, stream)) {
      connection.refused(408, 'a request body that comes too slowly')
      connection.resetStream(stream.id, ERROR.cancel)
    } else if (isStalledReader(connection, stream)) {
      connection.refused(408, 'a response that is not taken')
      connection.resetStream(stream.id, ERROR.cancel)
    }
  }
}

function isSlowSender(connection: Connection, stream: Http2Stream): boolean {
  const content = stream.content
  if (content === null || !stream.remoteOpen || stream.tunnel) return false
  const { now, limits } = connection
  if (now - stream.openedAt >= limits.bodyTimeoutMs) return true
  // A DATA frame that is still coming counts as far as it came.
  const received = content.receivedBytes + connection.reader.partialPayloadBytes(FRAME.data)
  // With all of the connection's window in the hands of other streams the client may not send.
  if (!content.isWanted || connection.receiveWindow.leftBytes <= 0) {
    stream.receiveNotedAt = now
    stream.receiveNotedBytes = received
    return false
  }
  const elapsedMs = now - stream.receiveNotedAt
  if (elapsedMs < limits.bodyRateWindowMs) return false
  const bytes = received - stream.receiveNotedBytes
  stream.receiveNotedAt = now
  stream.receiveNotedBytes = received
  return bytes * 1000 < limits.minBodyBytesPerSecond * elapsedMs
}

/**
 * Windows are the client's to open: what is ready and kept back by one of them for the whole time is stalled by the
 * client. A stream that waits for its turn is not, be it on a busy socket or on a connection window that others use.
 */
function isStalledReader(connection: Connection, stream: Http2Stream): boolean {
  const { now, limits } = connection
  const keptByStream = stream.queuedBytes > 0 && stream.sendWindowBytes <= 0
  const keptByConnection = stream.queuedBytes > 0 && connection.sendWindowBytes <= 0
  const progressBytes = keptByStream
    ? stream.sentBytes - stream.sendNotedBytes
    : connection.sentBytes - stream.sendNotedTotalBytes
  if ((!keptByStream && !keptByConnection) || progressBytes >= MIN_PROGRESS_BYTES) {
    stream.sendNotedAt = now
    stream.sendNotedBytes = stream.sentBytes
    stream.sendNotedTotalBytes = connection.sentBytes
    return false
  }
  return now - stream.sendNotedAt >= limits.writeTimeoutMs
}

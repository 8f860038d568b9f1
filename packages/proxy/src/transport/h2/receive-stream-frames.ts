import type { Connection } from './connection.ts'
import { ERROR, FLAG, MAX_UINT31, readUint31 } from './frame.ts'
import { receiveLate } from './receive-headers.ts'

/** RFC 9113 §6.1 */
export function receiveData(
  connection: Connection,
  buffer: Buffer,
  flags: number,
  streamId: number,
  payloadStart: number,
  payloadEnd: number,
) {
  const length = payloadEnd - payloadStart
  let start = payloadStart
  let end = payloadEnd
  if (isIdle(connection, streamId)) return connection.fail(ERROR.protocol, 'DATA on an idle stream')
  if (flags & FLAG.padded) {
    if (length < 1) return connection.fail(ERROR.frameSize, 'DATA without pad length')
    end -= buffer[start++]
    if (start > end) return connection.fail(ERROR.protocol, 'DATA with too much padding')
  }
  connection.receiveWindow.leftBytes -= length
  if (connection.receiveWindow.leftBytes < 0) {
    return connection.fail(ERROR.flowControl, 'more DATA than the connection window')
  }
  const stream = connection.streams.get(streamId)
  if (stream === undefined) {
    connection.giveBack(length)
    return receiveLate(connection, streamId)
  }
  const content = stream.content
  if (!stream.remoteOpen || content === null) {
    connection.giveBack(length)
    return connection.blame(streamId, ERROR.streamClosed, 'DATA after END_STREAM')
  }
  stream.receiveWindowBytes -= length
  if (stream.receiveWindowBytes < 0) {
    connection.giveBack(length)
    return connection.blame(streamId, ERROR.flowControl, 'more DATA than the stream window')
  }
  const bytes = end - start
  const endStream = (flags & FLAG.endStream) !== 0
  if (bytes === 0 && !endStream && !connection.spendIdleFrame()) return
  // Padding is nobody's to consume.
  if (bytes < length) connection.consumed(stream, length - bytes)
  content.receivedBytes += bytes
  if (endStream) content.ended = true
  if (!content.fitsLength) {
    connection.giveBack(bytes)
    return connection.blame(streamId, ERROR.protocol, 'other content than promised')
  }
  if (endStream) stream.remoteOpen = false
  content.receive(buffer, start, end)
  if (endStream && !stream.closed) content.end(null)
}

/** RFC 9113 §6.4 */
export function receiveResetStream(
  connection: Connection,
  streamId: number,
  start: number,
  end: number,
) {
  if (end - start !== 4) return connection.fail(ERROR.frameSize, 'RST_STREAM is not 4 octets')
  if (isIdle(connection, streamId)) {
    return connection.fail(ERROR.protocol, 'RST_STREAM on an idle stream')
  }
  const stream = connection.streams.get(streamId)
  if (stream !== undefined) connection.closeStream(stream)
  if (!connection.budget.spendReset(connection.now)) {
    connection.fail(ERROR.enhanceYourCalm, 'too many streams reset')
  }
}

/** RFC 9113 §6.9 */
export function receiveWindowUpdate(
  connection: Connection,
  buffer: Buffer,
  streamId: number,
  start: number,
  end: number,
) {
  if (end - start !== 4) return connection.fail(ERROR.frameSize, 'WINDOW_UPDATE is not 4 octets')
  const increment = readUint31(buffer, start)
  if (!connection.spendIdleFrame()) return
  if (streamId === 0) {
    if (increment === 0) return connection.fail(ERROR.protocol, 'WINDOW_UPDATE of 0')
    connection.sendWindowBytes += increment
    if (connection.sendWindowBytes > MAX_UINT31) {
      return connection.fail(ERROR.flowControl, 'a connection window that overflows')
    }
    return connection.unblock()
  }
  if (isIdle(connection, streamId)) {
    return connection.fail(ERROR.protocol, 'WINDOW_UPDATE on an idle stream')
  }
  const stream = connection.streams.get(streamId)
  // It may come late on a closed stream, for a while (RFC 9113 §5.1).
  if (stream === undefined) return
  if (increment === 0) return connection.blame(streamId, ERROR.protocol, 'WINDOW_UPDATE of 0')
  stream.sendWindowBytes += increment
  if (stream.sendWindowBytes > MAX_UINT31) {
    return connection.blame(streamId, ERROR.flowControl, 'a stream window that overflows')
  }
  stream.schedule()
}

/** RFC 9113 §6.3: without meaning since RFC 9113, but not without rules. */
export function receivePriority(
  connection: Connection,
  buffer: Buffer,
  streamId: number,
  start: number,
  end: number,
) {
  if (streamId === 0) return connection.fail(ERROR.protocol, 'PRIORITY on stream 0')
  if (!connection.spendIdleFrame()) return
  if (end - start !== 5) {
    return connection.blame(streamId, ERROR.frameSize, 'PRIORITY is not 5 octets')
  }
  if (readUint31(buffer, start) === streamId) {
    connection.blame(streamId, ERROR.protocol, 'depends on itself')
  }
}

/** Stream 0, a stream that only we could open (we never do), or one that the client has not opened yet. */
function isIdle(connection: Connection, streamId: number): boolean {
  return (streamId & 1) === 0 || streamId > connection.history.lastId
}

import type { Connection } from './connection.ts'
import { ERROR, FLAG, FRAME, MAX_UINT31, readUint31 } from './frame.ts'
import { parsePriority } from './priority.ts'

/** RFC 9113 §6.5 */
export function receiveSettings(
  connection: Connection,
  buffer: Buffer,
  flags: number,
  streamId: number,
  start: number,
  end: number,
) {
  if (streamId !== 0) return connection.fail(ERROR.protocol, 'SETTINGS on a stream')
  if (flags & FLAG.ack) {
    if (end > start) return connection.fail(ERROR.frameSize, 'a SETTINGS ACK with payload')
    connection.settingsAcknowledged()
    return
  }
  if ((end - start) % 6 !== 0) return connection.fail(ERROR.frameSize, 'SETTINGS is cut short')
  if (!connection.spendIdleFrame()) return
  const before = connection.peer.initialWindowBytes
  const error = connection.peer.apply(buffer, start, end)
  if (error !== ERROR.none) return connection.fail(error, 'a setting out of range')
  const grown = connection.peer.initialWindowBytes - before
  if (grown !== 0 && !moveWindows(connection, grown)) {
    return connection.fail(ERROR.flowControl, 'a stream window that overflows')
  }
  connection.output.frame(FRAME.settings, FLAG.ack, 0, NOTHING)
}

const NOTHING = Buffer.alloc(0)

/** RFC 9113 §6.9.2: a new initial window moves the windows of the streams that are open. */
function moveWindows(connection: Connection, bytes: number): boolean {
  for (const stream of connection.streams.values()) {
    stream.sendWindowBytes += bytes
    if (stream.sendWindowBytes > MAX_UINT31) return false
    stream.schedule()
  }
  return true
}

/** RFC 9113 §6.7 */
export function receivePing(
  connection: Connection,
  buffer: Buffer,
  flags: number,
  streamId: number,
  start: number,
  end: number,
) {
  if (streamId !== 0) return connection.fail(ERROR.protocol, 'PING on a stream')
  if (end - start !== 8) return connection.fail(ERROR.frameSize, 'PING is not 8 octets')
  if (!connection.spendIdleFrame()) return
  if (flags & FLAG.ack) connection.pingAcknowledged()
  else connection.output.frame(FRAME.ping, FLAG.ack, 0, buffer.subarray(start, end))
}

/** RFC 9113 §6.8: the client opens no more streams; those under way are finished. */
export function receiveGoaway(
  connection: Connection,
  streamId: number,
  start: number,
  end: number,
) {
  if (streamId !== 0) return connection.fail(ERROR.protocol, 'GOAWAY on a stream')
  if (end - start < 8) return connection.fail(ERROR.frameSize, 'GOAWAY is cut short')
  if (connection.spendIdleFrame()) connection.clientLeaves()
}

/** RFC 9218 §7.1 */
export function receivePriorityUpdate(
  connection: Connection,
  buffer: Buffer,
  streamId: number,
  start: number,
  end: number,
) {
  if (streamId !== 0) return connection.fail(ERROR.protocol, 'PRIORITY_UPDATE on a stream')
  if (end - start < 4) return connection.fail(ERROR.frameSize, 'PRIORITY_UPDATE is cut short')
  if (!connection.spendIdleFrame()) return
  const prioritised = readUint31(buffer, start)
  // We push nothing, so a stream of ours is always idle.
  if ((prioritised & 1) === 0) {
    return connection.fail(ERROR.protocol, 'PRIORITY_UPDATE for no client stream')
  }
  connection.setPriority(prioritised, parsePriority(buffer.latin1Slice(start + 4, end)))
}

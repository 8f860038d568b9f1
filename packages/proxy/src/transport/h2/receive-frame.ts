import type { Connection } from './connection.ts'
import { ERROR, FLAG, FRAME } from './frame.ts'
import {
  receiveGoaway,
  receivePing,
  receivePriorityUpdate,
  receiveSettings,
} from './receive-control.ts'
import { receiveContinuation, receiveHeaders } from './receive-headers.ts'
import {
  receiveData,
  receivePriority,
  receiveResetStream,
  receiveWindowUpdate,
} from './receive-stream-frames.ts'

/** The rules that hold for all frames, then those of the frame's type (RFC 9113 §6). The payload is [start, end). */
export function receiveFrame(
  connection: Connection,
  buffer: Buffer,
  type: number,
  flags: number,
  streamId: number,
  start: number,
  end: number,
) {
  const { pending } = connection
  if (pending !== null) {
    if (type !== FRAME.continuation || streamId !== pending.streamId) {
      return connection.fail(ERROR.protocol, 'a frame inside a field section')
    }
  } else if (!connection.settingsSeen) {
    if (type !== FRAME.settings || flags & FLAG.ack) {
      return connection.fail(ERROR.protocol, 'no SETTINGS first')
    }
    connection.settingsSeen = true
  }
  switch (type) {
    case FRAME.headers:
      return receiveHeaders(connection, buffer, flags, streamId, start, end)
    case FRAME.data:
      return receiveData(connection, buffer, flags, streamId, start, end)
    case FRAME.windowUpdate:
      return receiveWindowUpdate(connection, buffer, streamId, start, end)
    case FRAME.resetStream:
      return receiveResetStream(connection, streamId, start, end)
    case FRAME.continuation:
      return receiveContinuation(connection, buffer, flags, start, end)
    case FRAME.settings:
      return receiveSettings(connection, buffer, flags, streamId, start, end)
    case FRAME.ping:
      return receivePing(connection, buffer, flags, streamId, start, end)
    case FRAME.priority:
      return receivePriority(connection, buffer, streamId, start, end)
    case FRAME.priorityUpdate:
      return receivePriorityUpdate(connection, buffer, streamId, start, end)
    case FRAME.goaway:
      return receiveGoaway(connection, streamId, start, end)
    case FRAME.pushPromise:
      return connection.fail(ERROR.protocol, 'PUSH_PROMISE from a client')
    default:
      // RFC 9113 §5.5: unknown types are passed over.
      connection.spendIdleFrame()
  }
}

import type { Connection } from './connection.ts'
import { FLAG, FRAME, FRAME_HEAD_BYTES, MAX_FRAME_BYTES, writeFrameHead } from './frame.ts'
import type { Http2Stream } from './stream.ts'

/** Moves what streams have to send into the output, by priority, as far as windows and the output's room allow. */
export function sendQueued(connection: Connection): void {
  const { output, scheduler } = connection
  for (;;) {
    const stream = scheduler.next()
    if (stream === null) return
    if (!stream.hasToSend) {
      scheduler.remove(stream)
      continue
    }
    if (stream.heads.length > 0) {
      if (!sendHeads(connection, stream)) return
      continue
    }
    if (stream.queuedBytes > 0) {
      if (connection.sendWindowBytes <= 0) {
        // Others may still have heads to send; this one comes back with the connection's WINDOW_UPDATE.
        scheduler.remove(stream)
        connection.windowBlocked.add(stream)
        continue
      }
      // A frame of a few bytes in the last corner of the buffer is not worth its head.
      const room = output.roomForContent(stream.queuedBytes)
      if (room < FRAME_HEAD_BYTES + 512) return
      sendData(connection, stream, room)
      continue
    }
    if (!sendEnd(connection, stream)) return
  }
}

/** False when there is no room for the next block. */
function sendHeads(connection: Connection, stream: Http2Stream): boolean {
  while (stream.heads.length > 0) {
    const last = stream.heads.length === 1
    const endStream =
      last &&
      stream.finalHeadQueued &&
      stream.ended &&
      stream.queuedBytes === 0 &&
      stream.trailers === null
    if (!sendBlock(connection, stream, stream.heads[0], endStream)) return false
    stream.heads.shift()
    if (endStream) connection.finishSending(stream)
  }
  return true
}

function sendBlock(
  connection: Connection,
  stream: Http2Stream,
  block: Buffer,
  endStream: boolean,
): boolean {
  const frames = Math.ceil(block.length / MAX_FRAME_BYTES) + 1
  // Blocks are bounded so that each fits into an empty buffer (MAX_HEAD_BLOCK_BYTES).
  if (connection.output.room < block.length + frames * FRAME_HEAD_BYTES) return false
  connection.output.fieldBlock(stream.id, connection.withTableUpdate(block), endStream)
  return true
}

/** One DATA frame, from as many chunks as it takes. */
function sendData(connection: Connection, stream: Http2Stream, room: number): void {
  const { output, scheduler } = connection
  const length = Math.min(
    stream.queuedBytes,
    MAX_FRAME_BYTES,
    stream.sendWindowBytes,
    connection.sendWindowBytes,
    room - FRAME_HEAD_BYTES,
  )
  const endStream = stream.ended && length === stream.queuedBytes && stream.trailers === null
  const buffer = output.reserve(FRAME_HEAD_BYTES + length)
  const flags = endStream ? FLAG.endStream : 0
  const at = writeFrameHead(buffer, output.length, length, FRAME.data, flags, stream.id)
  copyChunks(stream, buffer, at, length)
  output.length = at + length
  stream.sendWindowBytes -= length
  connection.sendWindowBytes -= length
  stream.sentBytes += length
  connection.sentBytes += length
  connection.budget.earn()
  if (endStream) {
    connection.finishSending(stream)
    return
  }
  scheduler.takeTurn(stream)
  try {
    stream.exchange?.drained()
  } catch (error) {
    stream.failed(error)
  }
}

function copyChunks(stream: Http2Stream, buffer: Buffer, start: number, length: number): void {
  const chunks = stream.chunks
  let at = start
  let left = length
  let taken = 0
  while (left > 0) {
    const chunk = chunks[taken]
    const from = stream.chunkOffset
    const size = Math.min(left, chunk.length - from)
    buffer.set(size === chunk.length ? chunk : chunk.subarray(from, from + size), at)
    at += size
    left -= size
    if (from + size === chunk.length) {
      taken++
      stream.chunkOffset = 0
    } else stream.chunkOffset = from + size
  }
  if (taken === chunks.length) chunks.length = 0
  else if (taken > 0) chunks.splice(0, taken)
  stream.queuedBytes -= length
}

/** END_STREAM after all content: on the trailers, or on an empty DATA frame. */
function sendEnd(connection: Connection, stream: Http2Stream): boolean {
  if (stream.trailers !== null) {
    if (!sendBlock(connection, stream, stream.trailers, true)) return false
  } else {
    if (connection.output.room < FRAME_HEAD_BYTES) return false
    connection.output.frame(FRAME.data, FLAG.endStream, stream.id, NOTHING)
  }
  connection.finishSending(stream)
  return true
}

const NOTHING = Buffer.alloc(0)

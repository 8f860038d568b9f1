import type { ReadyAnswer } from '../exchange.ts'
import { MAX_VOLATILE_BYTES, writeVolatileHpack } from '../volatile-fields.ts'
import type { Connection } from './connection.ts'
import { FLAG, FRAME, FRAME_HEAD_BYTES, MAX_FRAME_BYTES, writeFrameHead } from './frame.ts'
import { Http2Stream } from './stream.ts'

/** A hit. Written whole into the output when nothing is in its way, else queued as a stream like others. */
export function answerReady(connection: Connection, streamId: number, answer: ReadyAnswer): void {
  const { builder, output } = connection
  const body = builder.methodText === 'HEAD' ? null : answer.body
  const bytes = body === null ? 0 : body.length
  const headBytes = answer.hpackHead.length + MAX_VOLATILE_BYTES + 1
  const frames = 2 + Math.ceil(bytes / MAX_FRAME_BYTES)
  if (
    connection.scheduler.isEmpty &&
    headBytes <= MAX_FRAME_BYTES &&
    bytes <= connection.sendWindowBytes &&
    bytes <= connection.peer.initialWindowBytes &&
    headBytes + bytes + frames * FRAME_HEAD_BYTES <= output.room
  ) {
    writeReady(connection, streamId, answer, body)
  } else queueReady(connection, streamId, answer, body)
  connection.door.answered(builder, connection.client, answer, bytes, connection.startedAt)
}

function writeReady(
  connection: Connection,
  streamId: number,
  answer: ReadyAnswer,
  body: Buffer | null,
): void {
  const { output } = connection
  const head = answer.hpackHead
  const bytes = body === null ? 0 : body.length
  const buffer = output.reserve(output.room)
  const headAt = output.length
  let at = connection.writeTableUpdate(buffer, headAt + FRAME_HEAD_BYTES)
  buffer.latin1Write(head, at, head.length)
  at = writeVolatileHpack(buffer, at + head.length, answer, connection.clock)
  const flags = bytes === 0 ? FLAG.endHeaders | FLAG.endStream : FLAG.endHeaders
  const headBytes = at - headAt - FRAME_HEAD_BYTES
  writeFrameHead(buffer, headAt, headBytes, FRAME.headers, flags, streamId)
  if (body !== null && bytes > 0) {
    at = writeBody(buffer, at, streamId, body)
    connection.sendWindowBytes -= bytes
    connection.sentBytes += bytes
  }
  output.length = at
}

function writeBody(buffer: Buffer, start: number, streamId: number, body: Buffer): number {
  const bytes = body.length
  if (bytes <= MAX_FRAME_BYTES) {
    const at = writeFrameHead(buffer, start, bytes, FRAME.data, FLAG.endStream, streamId)
    buffer.set(body, at)
    return at + bytes
  }
  let at = start
  for (let from = 0; from < bytes; from += MAX_FRAME_BYTES) {
    const to = Math.min(from + MAX_FRAME_BYTES, bytes)
    const flags = to === bytes ? FLAG.endStream : 0
    at = writeFrameHead(buffer, at, to - from, FRAME.data, flags, streamId)
    buffer.set(body.subarray(from, to), at)
    at += to - from
  }
  return at
}

function queueReady(
  connection: Connection,
  streamId: number,
  answer: ReadyAnswer,
  body: Buffer | null,
): void {
  const priority = connection.takePriority(streamId, connection.builder.priority)
  const stream = new Http2Stream(connection, streamId, priority, false)
  const head = answer.hpackHead
  const block = Buffer.allocUnsafe(head.length + MAX_VOLATILE_BYTES)
  block.latin1Write(head, 0, head.length)
  const end = writeVolatileHpack(block, head.length, answer, connection.clock)
  stream.heads.push(block.subarray(0, end))
  stream.finalHeadQueued = true
  stream.ended = true
  if (body !== null && body.length > 0) {
    stream.chunks.push(body)
    stream.queuedBytes = body.length
  }
  connection.addStream(stream)
  stream.schedule()
}

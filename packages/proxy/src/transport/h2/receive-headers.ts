import { answerReady } from './answer-ready.ts'
import type { Connection } from './connection.ts'
import { ERROR, FLAG, readUint31 } from './frame.ts'
import { MAX_BLOCK_BYTES } from './hpack-decoder.ts'
import { encodeStatusBlock } from './hpack-encoder.ts'
import { Http2Exchange } from './http2-exchange.ts'
import { RequestContent } from './request-content.ts'
import { Http2Stream } from './stream.ts'
import { FATE } from './stream-history.ts'

/** CONTINUATION frames of one field section (CVE-2024-27316). */
const MAX_CONTINUATIONS = 100

/** A field section whose END_HEADERS has not come; no other frame may come before it (RFC 9113 §4.3). */
export class PendingSection {
  readonly streamId: number
  readonly flags: number
  readonly dependsOnItself: boolean
  /** Which frame of the connection its HEADERS was. */
  readonly frameIndex: number
  buffer: Buffer
  bytes: number
  continuations: number

  constructor(
    streamId: number,
    flags: number,
    dependsOnItself: boolean,
    frameIndex: number,
    fragment: Buffer,
  ) {
    this.frameIndex = frameIndex
    this.streamId = streamId
    this.flags = flags
    this.dependsOnItself = dependsOnItself
    this.buffer = Buffer.from(fragment)
    this.bytes = fragment.length
    this.continuations = 0
  }

  append(fragment: Buffer): void {
    if (this.bytes + fragment.length > this.buffer.length) {
      const larger = Buffer.allocUnsafe((this.bytes + fragment.length) * 2)
      this.buffer.copy(larger, 0, 0, this.bytes)
      this.buffer = larger
    }
    fragment.copy(this.buffer, this.bytes)
    this.bytes += fragment.length
  }
}

/** RFC 9113 §6.2 */
export function receiveHeaders(
  connection: Connection,
  buffer: Buffer,
  flags: number,
  streamId: number,
  payloadStart: number,
  payloadEnd: number,
) {
  let start = payloadStart
  let end = payloadEnd
  if ((streamId & 1) === 0) return connection.fail(ERROR.protocol, 'HEADERS on no client stream')
  if (flags & FLAG.padded) {
    if (end - start < 1) return connection.fail(ERROR.frameSize, 'HEADERS without pad length')
    end -= buffer[start++]
  }
  let dependsOnItself = false
  if (flags & FLAG.priority) {
    if (payloadEnd - start < 5) return connection.fail(ERROR.frameSize, 'HEADERS is cut short')
    dependsOnItself = readUint31(buffer, start) === streamId
    start += 5
  }
  if (start > end) return connection.fail(ERROR.protocol, 'HEADERS with too much padding')
  if (flags & FLAG.endHeaders) {
    receiveSection(connection, buffer, start, end, flags, streamId, dependsOnItself)
    return
  }
  connection.pending = new PendingSection(
    streamId,
    flags,
    dependsOnItself,
    connection.reader.framesRead,
    buffer.subarray(start, end),
  )
}

/** RFC 9113 §6.10; that it belongs to `connection.pending` is checked already. */
export function receiveContinuation(
  connection: Connection,
  buffer: Buffer,
  flags: number,
  start: number,
  end: number,
) {
  const pending = connection.pending
  if (pending === null) return connection.fail(ERROR.protocol, 'CONTINUATION without HEADERS')
  if (
    ++pending.continuations > MAX_CONTINUATIONS ||
    pending.bytes + end - start > MAX_BLOCK_BYTES
  ) {
    return connection.fail(ERROR.enhanceYourCalm, 'an endless field section')
  }
  pending.append(buffer.subarray(start, end))
  if ((flags & FLAG.endHeaders) === 0) return
  connection.pending = null
  receiveSection(
    connection,
    pending.buffer,
    0,
    pending.bytes,
    pending.flags,
    pending.streamId,
    pending.dependsOnItself,
  )
}

function receiveSection(
  connection: Connection,
  block: Buffer,
  start: number,
  end: number,
  flags: number,
  streamId: number,
  dependsOnItself: boolean,
) {
  const { builder, history } = connection
  const isRequest = streamId > history.lastId
  builder.begin(!isRequest)
  // Whatever becomes of the stream, the block must be decoded: the table is the connection's (RFC 9113 §4.3).
  const result = connection.decoder.decode(block, start, end, builder)
  if (result === 'broken') return connection.fail(ERROR.compression, 'a broken field block')
  if (result === 'refused') return connection.fail(ERROR.enhanceYourCalm, 'a huge field section')
  const endStream = (flags & FLAG.endStream) !== 0
  if (!isRequest) return receiveTrailers(connection, streamId, endStream, dependsOnItself)
  history.open(streamId)
  if (streamId > connection.farewell.lastAcceptedId) {
    // After our last GOAWAY: the client repeats the request elsewhere (RFC 9113 §6.8).
    history.noteReset(streamId)
    connection.spendIdleFrame()
    return
  }
  openRequest(connection, streamId, endStream, dependsOnItself)
}

function receiveTrailers(
  connection: Connection,
  streamId: number,
  endStream: boolean,
  dependsOnItself: boolean,
) {
  const stream = connection.streams.get(streamId)
  if (stream === undefined) return receiveLate(connection, streamId)
  if (!stream.remoteOpen)
    return connection.blame(streamId, ERROR.streamClosed, 'HEADERS after END_STREAM')
  // RFC 9113 §8.5: a tunnel has DATA and nothing else.
  if (stream.tunnel) return connection.blame(streamId, ERROR.protocol, 'HEADERS in a tunnel')
  const content = stream.content
  const { builder } = connection
  if (!endStream || dependsOnItself || builder.fault !== null || content === null) {
    return connection.blame(streamId, ERROR.protocol, 'malformed trailers')
  }
  content.ended = true
  if (!content.fitsLength) {
    return connection.blame(streamId, ERROR.protocol, 'less content than promised')
  }
  stream.remoteOpen = false
  content.end(builder.fields)
}

/** HEADERS or DATA on a stream that is over (RFC 9113 §5.1). */
export function receiveLate(connection: Connection, streamId: number): void {
  const fate = connection.history.fate(streamId)
  if (fate === FATE.resetByUs) connection.spendIdleFrame()
  else if (fate === FATE.skipped) connection.fail(ERROR.protocol, 'a stream id that goes down')
  else connection.fail(ERROR.streamClosed, 'a frame on a closed stream')
}

function openRequest(
  connection: Connection,
  streamId: number,
  endStream: boolean,
  dependsOnItself: boolean,
) {
  const { builder, limits } = connection
  connection.noteRequest()
  // RFC 9113 §5.3.1 leaves nothing of the old priorities but their errors.
  if (dependsOnItself) return connection.blame(streamId, ERROR.protocol, 'depends on itself')
  if (!builder.complete()) return refuse(connection, streamId, endStream)
  if (endStream && builder.contentLength > 0) {
    return connection.blame(streamId, ERROR.protocol, 'less content than promised')
  }
  if (connection.streams.size >= limits.maxConcurrentStreams) {
    return connection.blame(streamId, ERROR.refusedStream, 'too many streams at once', 503)
  }
  connection.budget.earn()
  if (endStream && (builder.methodText === 'GET' || builder.methodText === 'HEAD')) {
    try {
      const answer = connection.door.lookUp(builder, connection.client)
      if (answer !== null) return answerReady(connection, streamId, answer)
    } catch (error) {
      return connection.doorFailed(streamId, error)
    }
  }
  const priority = connection.takePriority(streamId, builder.priority)
  const stream = new Http2Stream(connection, streamId, priority, !endStream)
  if (!endStream) {
    const length = builder.contentLength
    stream.content = new RequestContent(stream, length < 0 ? undefined : length)
  }
  const { client, startedAt } = connection
  stream.exchange = new Http2Exchange(stream, builder.head(), client, startedAt)
  connection.addStream(stream)
  try {
    connection.door.handle(stream.exchange)
  } catch (error) {
    stream.failed(error)
  }
}

/** The builder found a fault: RFC 9113 §8.1.1 for what is malformed, an answer for what is only too much. */
function refuse(connection: Connection, streamId: number, endStream: boolean) {
  const { status, reason } = connection.builder.fault ?? { status: 400, reason: 'malformed' }
  if (status === 400) return connection.blame(streamId, ERROR.protocol, reason)
  connection.refused(status, reason)
  if (!connection.spendIdleFrame()) return
  const block = connection.withTableUpdate(encodeStatusBlock(status, connection.clock.date))
  connection.output.fieldBlock(streamId, block, true)
  if (!endStream) connection.cutRequest(streamId)
}

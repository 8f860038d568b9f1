import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../http/clock.ts'
import type { ClientFacts, FrontDoor } from '../exchange.ts'
import type { TransportLimits } from '../limits.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import { AbuseBudget } from './abuse-budget.ts'
import { ConnectionDeadlines } from './connection-deadlines.ts'
import { EarlyPriorities } from './early-priorities.ts'
import { Farewell } from './farewell.ts'
import { DEFAULT_WINDOW_BYTES, ERROR, FRAME } from './frame.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { EMPTY_TABLE_UPDATE } from './hpack-encoder.ts'
import { Output } from './output.ts'
import type { Priority } from './priority.ts'
import { receiveFrame } from './receive-frame.ts'
import type { PendingSection } from './receive-headers.ts'
import { CONNECTION_WINDOW_BYTES, ReceiveWindow } from './receive-window.ts'
import { RequestBuilder } from './request-builder.ts'
import { Scheduler } from './scheduler.ts'
import { sendQueued } from './send.ts'
import { ourSettings, PeerSettings } from './settings.ts'
import type { Http2Stream } from './stream.ts'
import { StreamEndings } from './stream-endings.ts'
import { StreamHistory } from './stream-history.ts'

export interface Http2Options {
  readonly door: FrontDoor
  readonly limits: TransportLimits
  readonly clock: Clock
  readonly wheel: TimerWheel
  /** What was read from the socket before it came here. */
  readonly initialData?: Buffer
  /** Offers extended CONNECT (RFC 8441); such a request carries a field line `:protocol`. */
  readonly enableConnectProtocol?: boolean
}

export interface Http2Connection {
  /** Stops taking requests, finishes those under way, closes (RFC 9113 §6.8). */
  drain(): void
  /** Ends everything at once. */
  destroy(): void
  /** Called once, when the socket is closed. */
  onClose: (() => void) | null
}

/** Serves HTTP/2 on a socket whose handshakes are done: TLS with ALPN `h2`, or plain with prior knowledge. */
export function serveHttp2(
  socket: Duplex,
  client: ClientFacts,
  options: Http2Options,
): Http2Connection {
  return new Connection(socket, client, options)
}

/** DATA frames that come late on a stream which we cut: its window in pieces of 1 KiB. */
const FRAMES_IN_FLIGHT = 64

/**
 * The spine: joins the socket, the frame reader, the rules for each frame (`receive-*.ts`), the streams and the output,
 * and keeps what belongs to the whole connection. Frames made while one chunk is handled go out in one write.
 */
export class Connection implements Http2Connection, FrameSink {
  onClose: (() => void) | null
  readonly client: ClientFacts
  readonly door: FrontDoor
  readonly limits: TransportLimits
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly output: Output
  readonly reader: FrameReader
  readonly decoder: HpackDecoder
  readonly builder: RequestBuilder
  readonly peer: PeerSettings
  readonly history: StreamHistory
  readonly streams: Map<number, Http2Stream>
  readonly scheduler: Scheduler
  readonly windowBlocked: Set<Http2Stream>
  readonly budget: AbuseBudget
  readonly receiveWindow: ReceiveWindow
  readonly farewell: Farewell
  pending: PendingSection | null
  /** The client's first SETTINGS came. */
  settingsSeen: boolean
  /** Requests so far, whatever became of them. */
  requests: number
  sendWindowBytes: number
  /** Content of all responses so far. */
  sentBytes: number
  /** ms on the wheel's clock, read once per chunk or other event. */
  now: number
  /** `performance.now()` of the chunk under way. */
  startedAt: number
  readonly #socket: Duplex
  #closed: boolean
  #busy: boolean
  #wakeQueued: boolean
  #tableUpdated: boolean
  readonly #earlyPriorities: EarlyPriorities
  readonly #endings: StreamEndings
  readonly #onCallbackError: (error: unknown) => void
  readonly #deadlines: ConnectionDeadlines

  constructor(socket: Duplex, client: ClientFacts, options: Http2Options) {
    const { door, limits, clock, wheel, enableConnectProtocol = false } = options
    this.onClose = null
    this.client = client
    this.door = door
    this.limits = limits
    this.clock = clock
    this.wheel = wheel
    this.output = new Output(socket, (error) => this.#taken(error))
    this.reader = new FrameReader(this)
    this.decoder = new HpackDecoder()
    this.builder = new RequestBuilder(client.secure, limits, enableConnectProtocol)
    this.peer = new PeerSettings()
    this.history = new StreamHistory()
    this.streams = new Map()
    this.scheduler = new Scheduler()
    this.windowBlocked = new Set()
    this.pending = null
    this.sendWindowBytes = DEFAULT_WINDOW_BYTES
    this.sentBytes = 0
    this.receiveWindow = new ReceiveWindow(this.output)
    this.farewell = new Farewell(this, socket, wheel)
    this.now = wheel.now()
    this.startedAt = performance.now()
    this.budget = new AbuseBudget(limits, this.now)
    this.#socket = socket
    this.#closed = false
    this.#busy = false
    this.#wakeQueued = false
    this.settingsSeen = false
    this.#tableUpdated = false
    this.requests = 0
    this.#earlyPriorities = new EarlyPriorities()
    this.#endings = new StreamEndings()
    this.#onCallbackError = (error) => this.refused(500, `a callback threw: ${messageOf(error)}`)
    this.#deadlines = new ConnectionDeadlines(this, wheel)
    this.#start(options.initialData, enableConnectProtocol)
  }

  drain(): void {
    this.farewell.announce()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  // Frames, as the reader cuts them.

  get mayReceive(): boolean {
    return !this.output.controlFull
  }

  get ended(): boolean {
    return this.farewell.ended
  }

  frame(buffer: Buffer, type: number, flags: number, streamId: number, start: number, end: number) {
    receiveFrame(this, buffer, type, flags, streamId, start, end)
  }

  brokenPreface(): void {
    this.fail(ERROR.protocol, 'not an HTTP/2 preface')
  }

  frameTooLarge(): void {
    this.fail(ERROR.frameSize, 'a frame above SETTINGS_MAX_FRAME_SIZE')
  }

  // Errors (RFC 9113 §5.4).

  /** A connection error: GOAWAY, and nothing after it. */
  fail(code: number, reason: string, status = 400): void {
    if (this.ended) return
    this.refused(status, reason)
    this.farewell.close(code, reason)
  }

  /** A stream error that is the client's doing: it counts as a reset, whoever sends it (CVE-2025-8671). */
  blame(streamId: number, code: number, reason: string, status = 400): void {
    this.refused(status, reason)
    this.resetStream(streamId, code)
    if (this.budget.spendReset(this.now)) return
    this.fail(ERROR.enhanceYourCalm, 'too many streams reset')
  }

  resetStream(streamId: number, code: number): void {
    if (this.ended) return
    this.output.uint32Frame(FRAME.resetStream, streamId, code)
    this.history.noteReset(streamId)
    const stream = this.streams.get(streamId)
    if (stream !== undefined) this.closeStream(stream)
    this.wake()
  }

  /** The response is whole, the request is not: the client may stop sending (RFC 9113 §8.1). */
  cutRequest(streamId: number): void {
    this.output.uint32Frame(FRAME.resetStream, streamId, ERROR.none)
    this.history.noteReset(streamId)
    // A window's worth of content may be on its way, and that is not the client's fault.
    this.budget.earn(FRAMES_IN_FLIGHT)
  }

  /** What the front door, or a callback of the pipeline, threw is a defect; it costs one stream. */
  doorFailed(streamId: number, error: unknown): void {
    this.#onCallbackError(error)
    this.resetStream(streamId, ERROR.internal)
  }

  refused(status: number, reason: string): void {
    try {
      this.door.refused(this.client, status, reason)
    } catch {
      // It was the log that threw: there is nobody left to tell.
    }
  }

  /** False when the connection ended for want of work (see `abuse-budget.ts`). */
  spendIdleFrame(): boolean {
    if (this.budget.spendIdleFrame(this.now)) return true
    this.fail(ERROR.enhanceYourCalm, 'too many frames that do no work')
    return false
  }

  // Streams.

  noteRequest(): void {
    this.requests++
    if (this.requests === 1) this.farewell.firstRequest()
    if (this.requests === this.limits.maxRequestsPerConnection) this.farewell.sayLastId()
  }

  addStream(stream: Http2Stream): void {
    this.streams.set(stream.id, stream)
  }

  /** The client reset it, or we did: the pipeline hears of it before this event is over. */
  closeStream(stream: Http2Stream): void {
    this.#forget(stream)
    this.#endings.cut(stream)
  }

  closeStreams(): void {
    for (const stream of this.streams.values()) this.closeStream(stream)
  }

  /** END_STREAM is in the output. */
  finishSending(stream: Http2Stream): void {
    if (stream.tunnel && stream.remoteOpen) {
      stream.endSent = true
      this.scheduler.remove(stream)
      return
    }
    if (stream.remoteOpen) this.cutRequest(stream.id)
    this.#forget(stream)
    this.#endings.finished(stream)
  }

  /** Both sides of a tunnel have ended, ours first; `complete` when its sink has had everything. */
  finishTunnel(stream: Http2Stream, complete: boolean): void {
    if (stream.closed) return
    stream.complete = complete
    this.#forget(stream)
    this.#endings.cut(stream)
    this.wake()
  }

  takePriority(streamId: number, fromField: Priority): Priority {
    return this.#earlyPriorities.take(streamId) ?? fromField
  }

  setPriority(streamId: number, priority: Priority): void {
    const stream = this.streams.get(streamId)
    const { lastId } = this.history
    if (stream !== undefined) this.scheduler.reprioritise(stream, priority)
    else if (streamId > lastId) this.#earlyPriorities.remember(streamId, priority, lastId)
  }

  // Flow control (RFC 9113 §5.2, §6.9).

  /** Content of a stream was taken by its sink, or was padding. */
  consumed(stream: Http2Stream, bytes: number): void {
    this.giveBack(bytes)
    if (stream.closed || !stream.remoteOpen || this.ended) return
    if (this.receiveWindow.giveBackTo(stream, bytes)) this.wake()
  }

  /** Content that no stream holds any more. */
  giveBack(bytes: number): void {
    if (!this.ended && this.receiveWindow.giveBack(bytes)) this.wake()
  }

  /** The connection window opened. */
  unblock(): void {
    if (this.sendWindowBytes <= 0) return
    for (const stream of this.windowBlocked) stream.schedule()
    this.windowBlocked.clear()
  }

  // Connection-wide answers.

  settingsAcknowledged(): void {
    if (!this.#deadlines.settingsAcknowledged()) this.spendIdleFrame()
  }

  pingAcknowledged(): void {
    this.farewell.announcementHeard()
  }

  clientLeaves(): void {
    this.farewell.sayLastId()
  }

  /**
   * Our encoder's table is empty. A client that allows us less than the default wants to read so, once, in front of a
   * block (RFC 7541 §4.2).
   */
  writeTableUpdate(buffer: Buffer, at: number): number {
    if (this.#tableUpdated || this.peer.headerTableBytes >= 4096) return at
    this.#tableUpdated = true
    buffer[at] = EMPTY_TABLE_UPDATE
    return at + 1
  }

  withTableUpdate(block: Buffer): Buffer {
    if (this.#tableUpdated || this.peer.headerTableBytes >= 4096) return block
    this.#tableUpdated = true
    return Buffer.concat([Buffer.of(EMPTY_TABLE_UPDATE), block])
  }

  /** Something is to be sent or said: at the end of the event under way, or of one of its own. */
  wake(): void {
    if (this.#busy || this.#wakeQueued || this.#closed) return
    this.#wakeQueued = true
    process.nextTick(wakeConnection, this)
  }

  /** @internal */
  awake(): void {
    this.#wakeQueued = false
    this.run(nothing)
  }

  #start(initialData: Buffer | undefined, connectProtocol: boolean): void {
    const socket = this.#socket
    if (socket instanceof Socket) socket.setNoDelay(true)
    this.run(() => {
      this.output.frame(FRAME.settings, 0, 0, ourSettings(this.limits, connectProtocol))
      this.output.uint32Frame(FRAME.windowUpdate, 0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES)
    })
    this.#deadlines.watchHead()
    // Before anything that the socket has to say.
    if (initialData !== undefined) process.nextTick(() => this.#receive(initialData))
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('end', () => this.#clientEnded())
    // 'close' follows, and everything that is to be done is done there.
    socket.on('error', nothing)
    socket.on('close', () => this.#socketClosed())
  }

  #receive(chunk: Buffer): void {
    if (this.ended) return
    this.run(() => this.reader.feed(chunk))
    this.#deadlines.watchHead()
    if (this.reader.isHolding) this.#socket.pause()
  }

  /**
   * @internal Everything that happens on a connection happens in here: afterwards what it left to be sent is sent, and the
   * pipeline is told what ended. What is thrown here is a defect of ours; it costs the connection, not the process.
   */
  run(event: () => void) {
    if (this.#closed) return
    // Inside another event: that one settles it.
    if (this.#busy) return event()
    this.#busy = true
    this.now = this.wheel.now()
    this.startedAt = performance.now()
    try {
      event()
      this.#settle()
    } catch (error) {
      this.#busy = false
      this.destroy()
      this.refused(500, `the connection failed: ${messageOf(error)}`)
      return
    }
    this.#busy = false
    this.#flush()
  }

  #settle(): void {
    do {
      this.#endings.tell(this.#onCallbackError)
      if (!this.ended) sendQueued(this)
    } while (!this.#endings.isEmpty)
    if (this.ended) return
    this.#deadlines.watchStreams()
    if (this.streams.size === 0) this.farewell.nothingLeft()
  }

  #flush(): void {
    if (!this.output.flush()) {
      if (!this.output.writing) this.farewell.outputEmpty()
      return
    }
    this.#endings.handedOver()
    this.#deadlines.writeBegins()
  }

  /** The socket took what `flush` gave it, or failed. */
  #taken(error: Error | null): void {
    this.#deadlines.writeEnds()
    // Its 'close' comes, and finds what was not taken.
    if (error !== null) return
    this.#endings.taken()
    const resuming = this.reader.isHolding && this.mayReceive
    this.run(resuming ? () => this.reader.resume() : nothing)
    if (!resuming) return
    this.#deadlines.watchHead()
    if (!this.reader.isHolding) this.#socket.resume()
  }

  #forget(stream: Http2Stream): void {
    this.scheduler.remove(stream)
    this.windowBlocked.delete(stream)
    this.streams.delete(stream.id)
    stream.closed = true
    if (stream.content !== null) this.giveBack(stream.content.stop())
    stream.release()
  }

  /** Nobody reads answers whose connection is half closed, and `node:net` closes the other half by itself. */
  #clientEnded(): void {
    if (this.ended) return
    this.run(() => this.farewell.end())
  }

  #socketClosed(): void {
    if (this.#closed) return
    this.#busy = true
    this.farewell.release()
    this.closeStreams()
    this.#endings.lost()
    this.#endings.tell(this.#onCallbackError)
    this.#closed = true
    this.reader.discard()
    this.output.discard()
    this.#deadlines.release()
    this.onClose?.()
  }
}

function wakeConnection(connection: Connection): void {
  connection.awake()
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function nothing(): void {}

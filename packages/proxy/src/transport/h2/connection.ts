import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../http/clock.ts'
import type { ClientFacts, FrontDoor } from '../exchange.ts'
import type { TransportLimits } from '../limits.ts'
import { Deadline, type TimerWheel } from '../timer-wheel.ts'
import { AbuseBudget } from './abuse-budget.ts'
import { DEFAULT_WINDOW_BYTES, ERROR, FLAG, FRAME, MAX_UINT31, writeUint32 } from './frame.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { EMPTY_TABLE_UPDATE } from './hpack-encoder.ts'
import { Output } from './output.ts'
import type { Priority } from './priority.ts'
import {
  receiveGoaway,
  receivePing,
  receivePriorityUpdate,
  receiveSettings,
} from './receive-control.ts'
import { type PendingSection, receiveContinuation, receiveHeaders } from './receive-headers.ts'
import {
  receiveData,
  receivePriority,
  receiveResetStream,
  receiveWindowUpdate,
} from './receive-stream-frames.ts'
import { RequestBuilder } from './request-builder.ts'
import { Scheduler } from './scheduler.ts'
import { sendQueued } from './send.ts'
import { ourSettings, PeerSettings } from './settings.ts'
import type { Http2Stream } from './stream.ts'
import { StreamHistory } from './stream-history.ts'
import { watchIntervalMs, watchStreams } from './stream-watch.ts'

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

/** Request content that all streams of a connection may hold unread: bytes. */
const CONNECTION_WINDOW_BYTES = 1024 * 1024
const SETTINGS_TIMEOUT_MS = 10_000
/** From the announcement that we leave to the last id that we serve, if the client does not answer the PING. */
const DRAIN_NOTICE_MS = 1_000
/** From our last octet to the cut. */
const CLOSE_TIMEOUT_MS = 1_000
/** Priorities that come before their streams (RFC 9218 §7.1). */
const MAX_EARLY_PRIORITIES = 32
const DRAIN_PING = Buffer.from('larder-d', 'latin1')

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
  pending: PendingSection | null
  sendWindowBytes: number
  receiveWindowBytes: number
  /** Streams above are not served: lowered by the last GOAWAY. */
  lastAcceptedId: number
  /** ms on the wheel's clock, read once per chunk or other event. */
  now: number
  /** `performance.now()` of the chunk under way. */
  startedAt: number
  readonly #socket: Duplex
  readonly #wheel: TimerWheel
  /**
   * draining: we announced that we leave · leaving: the last id is said · closing: no frame is read any more, what is
   * in the output goes out · closed: the socket is.
   */
  #state: 'open' | 'draining' | 'leaving' | 'closing' | 'closed'
  #busy: boolean
  #wakeQueued: boolean
  #settingsSeen: boolean
  #tableUpdated: boolean
  #consumedBytes: number
  #requests: number
  #requestsWhenIdle: number
  #ended: boolean
  readonly #earlyPriorities: Map<number, Priority>
  /** Streams whose last octet is in the output; in the hands of the socket; over, but nobody was told. */
  #leavingStreams: Http2Stream[]
  #handedOver: Http2Stream[]
  #overStreams: Http2Stream[]
  readonly #headDeadline: Deadline
  readonly #idleDeadline: Deadline
  readonly #settingsDeadline: Deadline
  readonly #writeDeadline: Deadline
  readonly #watchDeadline: Deadline
  readonly #closeDeadline: Deadline

  constructor(socket: Duplex, client: ClientFacts, options: Http2Options) {
    const { door, limits, clock, wheel, enableConnectProtocol = false } = options
    this.onClose = null
    this.client = client
    this.door = door
    this.limits = limits
    this.clock = clock
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
    this.receiveWindowBytes = CONNECTION_WINDOW_BYTES
    this.lastAcceptedId = MAX_UINT31
    this.now = wheel.now()
    this.startedAt = performance.now()
    this.budget = new AbuseBudget(limits, this.now)
    this.#socket = socket
    this.#wheel = wheel
    this.#state = 'open'
    this.#busy = false
    this.#wakeQueued = false
    this.#settingsSeen = false
    this.#tableUpdated = false
    this.#consumedBytes = 0
    this.#requests = 0
    this.#requestsWhenIdle = 0
    this.#ended = false
    this.#earlyPriorities = new Map()
    this.#leavingStreams = []
    this.#handedOver = []
    this.#overStreams = []
    this.#headDeadline = new Deadline(wheel, () => this.#expired(408, 'a head that does not end'))
    this.#idleDeadline = new Deadline(wheel, () => this.#close(ERROR.none, ''))
    this.#settingsDeadline = new Deadline(wheel, () =>
      this.#run(() => this.fail(ERROR.settingsTimeout, 'SETTINGS without ACK')),
    )
    this.#writeDeadline = new Deadline(wheel, () => this.destroy())
    this.#watchDeadline = new Deadline(wheel, () => this.#run(() => watchStreams(this)))
    this.#closeDeadline = new Deadline(wheel, () => this.#closeExpired())
    this.#start(options.initialData, enableConnectProtocol)
  }

  drain(): void {
    if (this.#state !== 'open') return
    this.#run(() => {
      this.#state = 'draining'
      this.#goaway(MAX_UINT31, ERROR.none, '')
      this.output.frame(FRAME.ping, 0, 0, DRAIN_PING)
      this.#closeDeadline.arm(DRAIN_NOTICE_MS)
    })
  }

  destroy(): void {
    this.#socket.destroy()
  }

  // Frames, as the reader cuts them.

  get mayReceive(): boolean {
    return !this.output.controlFull
  }

  get ended(): boolean {
    return this.#ended
  }

  frame(buffer: Buffer, type: number, flags: number, streamId: number, start: number, end: number) {
    if (this.pending !== null) {
      if (type !== FRAME.continuation || streamId !== this.pending.streamId) {
        return this.fail(ERROR.protocol, 'a frame inside a field section')
      }
    } else if (!this.#settingsSeen) {
      if (type !== FRAME.settings || flags & FLAG.ack) {
        return this.fail(ERROR.protocol, 'no SETTINGS first')
      }
      this.#settingsSeen = true
    }
    switch (type) {
      case FRAME.headers:
        return receiveHeaders(this, buffer, flags, streamId, start, end)
      case FRAME.data:
        return receiveData(this, buffer, flags, streamId, start, end)
      case FRAME.windowUpdate:
        return receiveWindowUpdate(this, buffer, streamId, start, end)
      case FRAME.resetStream:
        return receiveResetStream(this, streamId, start, end)
      case FRAME.continuation:
        return receiveContinuation(this, buffer, flags, start, end)
      case FRAME.settings:
        return receiveSettings(this, buffer, flags, streamId, start, end)
      case FRAME.ping:
        return receivePing(this, buffer, flags, streamId, start, end)
      case FRAME.priority:
        return receivePriority(this, buffer, streamId, start, end)
      case FRAME.priorityUpdate:
        return receivePriorityUpdate(this, buffer, streamId, start, end)
      case FRAME.goaway:
        return receiveGoaway(this, streamId, start, end)
      case FRAME.pushPromise:
        return this.fail(ERROR.protocol, 'PUSH_PROMISE from a client')
      default:
        // RFC 9113 §5.5
        this.spendIdleFrame()
    }
  }

  brokenPreface(): void {
    this.fail(ERROR.protocol, 'not an HTTP/2 preface')
  }

  frameTooLarge(): void {
    this.fail(ERROR.frameSize, 'a frame above SETTINGS_MAX_FRAME_SIZE')
  }

  // Errors (RFC 9113 §5.4).

  /** A connection error: GOAWAY, and nothing after it. */
  fail(code: number, reason: string): void {
    if (this.#ended) return
    this.refused(400, reason)
    this.#close(code, reason)
  }

  /** A stream error that is the client's doing: it counts as a reset, whoever sends it (CVE-2025-8671). */
  blame(streamId: number, code: number, reason: string, status = 400): void {
    this.refused(status, reason)
    this.resetStream(streamId, code)
    if (!this.budget.spendReset(this.now))
      this.fail(ERROR.enhanceYourCalm, 'too many streams reset')
  }

  resetStream(streamId: number, code: number): void {
    if (this.#ended) return
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
  }

  /** What the front door, or a callback of the pipeline, threw is a defect; it costs one stream. */
  doorFailed(streamId: number, error: unknown): void {
    this.refused(500, `a callback threw: ${error instanceof Error ? error.message : String(error)}`)
    this.resetStream(streamId, ERROR.internal)
  }

  callbackFailed(stream: Http2Stream, error: unknown): void {
    this.doorFailed(stream.id, error)
  }

  refused(status: number, reason: string): void {
    this.door.refused(this.client, status, reason)
  }

  /** False when the connection ended for want of work (see `abuse-budget.ts`). */
  spendIdleFrame(): boolean {
    if (this.budget.spendIdleFrame(this.now)) return true
    this.fail(ERROR.enhanceYourCalm, 'too many frames that do no work')
    return false
  }

  // Streams.

  noteRequest(): void {
    this.#requests++
    if (this.#requests === this.limits.maxRequestsPerConnection) this.#sayLastId()
  }

  addStream(stream: Http2Stream): void {
    this.streams.set(stream.id, stream)
    if (!this.#watchDeadline.armed) this.#watchDeadline.arm(watchIntervalMs(this))
  }

  /** The client reset it, or we did: the pipeline hears of it before this event is over. */
  closeStream(stream: Http2Stream): void {
    this.#forget(stream)
    this.#overStreams.push(stream)
  }

  /** END_STREAM is in the output. */
  finishSending(stream: Http2Stream): void {
    if (stream.remoteOpen) this.cutRequest(stream.id)
    this.#forget(stream)
    stream.complete = true
    if (stream.exchange !== null) this.#leavingStreams.push(stream)
  }

  takePriority(streamId: number, fromField: Priority): Priority {
    if (this.#earlyPriorities.size === 0) return fromField
    const early = this.#earlyPriorities.get(streamId)
    this.#earlyPriorities.delete(streamId)
    return early ?? fromField
  }

  setPriority(streamId: number, priority: Priority): void {
    const stream = this.streams.get(streamId)
    if (stream !== undefined) this.scheduler.reprioritise(stream, priority)
    else if (streamId > this.history.lastId) this.#keepEarly(streamId, priority)
  }

  // Flow control (RFC 9113 §5.2, §6.9).

  /** Content of a stream was taken by its sink, or was padding. */
  consumed(stream: Http2Stream, bytes: number): void {
    this.giveBack(bytes)
    if (stream.closed || !stream.remoteOpen || this.#ended) return
    stream.consumedBytes += bytes
    if (stream.consumedBytes < DEFAULT_WINDOW_BYTES / 2) return
    this.output.uint32Frame(FRAME.windowUpdate, stream.id, stream.consumedBytes)
    stream.receiveWindowBytes += stream.consumedBytes
    stream.consumedBytes = 0
    this.wake()
  }

  /** Content that no stream holds any more. */
  giveBack(bytes: number): void {
    this.#consumedBytes += bytes
    if (this.#consumedBytes < CONNECTION_WINDOW_BYTES / 2 || this.#ended) return
    this.output.uint32Frame(FRAME.windowUpdate, 0, this.#consumedBytes)
    this.receiveWindowBytes += this.#consumedBytes
    this.#consumedBytes = 0
    this.wake()
  }

  /** The connection window opened. */
  unblock(): void {
    if (this.sendWindowBytes <= 0) return
    for (const stream of this.windowBlocked) stream.schedule()
    this.windowBlocked.clear()
  }

  // Connection-wide answers.

  settingsAcknowledged(): void {
    if (!this.#settingsDeadline.armed) this.spendIdleFrame()
    this.#settingsDeadline.disarm()
  }

  pingAcknowledged(): void {
    if (this.#state === 'draining') this.#sayLastId()
  }

  clientLeaves(): void {
    this.#sayLastId()
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
    if (this.#busy || this.#wakeQueued || this.#state === 'closed') return
    this.#wakeQueued = true
    process.nextTick(wakeConnection, this)
  }

  /** @internal */
  awake(): void {
    this.#wakeQueued = false
    this.#run(nothing)
  }

  #start(initialData: Buffer | undefined, connectProtocol: boolean): void {
    const socket = this.#socket
    if (socket instanceof Socket) socket.setNoDelay(true)
    this.#run(() => {
      this.output.frame(FRAME.settings, 0, 0, ourSettings(this.limits, connectProtocol))
      this.output.uint32Frame(FRAME.windowUpdate, 0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES)
    })
    this.#headDeadline.arm(this.limits.headerTimeoutMs)
    this.#settingsDeadline.arm(SETTINGS_TIMEOUT_MS)
    // Before anything that the socket has to say.
    if (initialData !== undefined) process.nextTick(() => this.#receive(initialData))
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('end', () => this.#clientEnded())
    // 'close' follows, and everything that is to be done is done there.
    socket.on('error', nothing)
    socket.on('close', () => this.#closed())
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return
    this.#run(() => this.reader.feed(chunk))
    this.#watchHead()
    if (this.reader.isHolding) this.#socket.pause()
  }

  /**
   * Everything that happens on a connection happens in here: afterwards what it left to be sent is sent, and the
   * pipeline is told what ended. What is thrown here is a defect of ours; it costs the connection, not the process.
   */
  #run(event: () => void): void {
    if (this.#state === 'closed') return
    this.#busy = true
    this.now = this.#wheel.now()
    this.startedAt = performance.now()
    try {
      event()
      this.#settle()
    } catch (error) {
      this.#busy = false
      this.destroy()
      this.refused(500, `the connection failed: ${error instanceof Error ? error.stack : error}`)
      return
    }
    this.#busy = false
    this.#flush()
  }

  #settle(): void {
    do {
      this.#tellOver()
      if (!this.#ended) sendQueued(this)
    } while (this.#overStreams.length > 0)
    if (this.#ended) return
    if (this.streams.size > 0) {
      this.#idleDeadline.disarm()
      if (!this.#watchDeadline.armed) this.#watchDeadline.arm(watchIntervalMs(this))
    } else {
      if (!this.#idleDeadline.armed || this.#requests !== this.#requestsWhenIdle) {
        this.#requestsWhenIdle = this.#requests
        this.#idleDeadline.arm(this.limits.idleTimeoutMs)
      }
      this.#watchDeadline.disarm()
      if (this.#state === 'leaving') this.#end()
    }
  }

  #tellOver(): void {
    for (let stream = this.#overStreams.pop(); stream; stream = this.#overStreams.pop()) {
      try {
        stream.content?.settle()
        stream.exchange?.settle(stream.complete)
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        this.refused(500, `a callback threw: ${message}`)
      }
    }
  }

  #flush(): void {
    if (!this.output.flush()) {
      if (this.#ended && !this.output.writing) this.#socket.end()
      return
    }
    this.#handedOver = this.#leavingStreams
    if (this.#handedOver.length > 0) this.#leavingStreams = []
    this.#writeDeadline.arm(this.limits.writeTimeoutMs)
  }

  /** The socket took what `flush` gave it, or failed. */
  #taken(error: Error | null): void {
    this.#writeDeadline.disarm()
    const handedOver = this.#handedOver
    if (handedOver.length > 0) {
      this.#handedOver = []
      for (const stream of handedOver) {
        stream.complete = error === null
        this.#overStreams.push(stream)
      }
    }
    // Its 'close' comes.
    if (error !== null) return
    const resuming = this.reader.isHolding && this.mayReceive
    this.#run(resuming ? () => this.reader.resume() : nothing)
    if (!resuming) return
    this.#watchHead()
    if (!this.reader.isHolding) this.#socket.resume()
  }

  /** A head under way must end in time, however its octets are spread. Content has limits of its own. */
  #watchHead(): void {
    const { reader } = this
    const underWay =
      !this.#settingsSeen ||
      this.pending !== null ||
      (reader.inFrame && reader.partialType !== FRAME.data)
    if (!underWay || this.#ended || reader.isHolding) this.#headDeadline.disarm()
    else if (!this.#headDeadline.armed) this.#headDeadline.arm(this.limits.headerTimeoutMs)
  }

  #expired(status: number, reason: string): void {
    this.#run(() => {
      this.refused(status, reason)
      this.#close(ERROR.protocol, reason)
    })
  }

  #forget(stream: Http2Stream): void {
    this.scheduler.remove(stream)
    this.windowBlocked.delete(stream)
    this.streams.delete(stream.id)
    stream.closed = true
    if (stream.content !== null) this.giveBack(stream.content.stop())
    stream.release()
  }

  #keepEarly(streamId: number, priority: Priority): void {
    const early = this.#earlyPriorities
    if (early.size >= MAX_EARLY_PRIORITIES && !early.has(streamId)) {
      for (const id of early.keys()) if (id <= this.history.lastId) early.delete(id)
      if (early.size >= MAX_EARLY_PRIORITIES) return
    }
    early.set(streamId, priority)
  }

  #goaway(lastId: number, code: number, reason: string): void {
    const payload = Buffer.alloc(8 + reason.length)
    writeUint32(payload, writeUint32(payload, 0, lastId), code)
    payload.write(reason, 8, 'latin1')
    this.output.frame(FRAME.goaway, 0, 0, payload)
  }

  /** From here on new streams are not ours; the client repeats them elsewhere. */
  #sayLastId(): void {
    if (this.#ended || this.#state === 'leaving') return
    this.#state = 'leaving'
    this.#closeDeadline.disarm()
    this.lastAcceptedId = this.history.lastId
    this.#goaway(this.lastAcceptedId, ERROR.none, '')
    this.wake()
  }

  /** GOAWAY with what the client must know, and the end of all streams. */
  #close(code: number, reason: string): void {
    if (this.#ended) return
    this.#goaway(this.history.lastId, code, reason)
    for (const stream of this.streams.values()) this.closeStream(stream)
    this.#end()
    this.wake()
  }

  /** Nothing is read any more; what is in the output goes out, then the socket ends. */
  #end(): void {
    this.#state = 'closing'
    this.#ended = true
    this.reader.discard()
    this.#closeDeadline.arm(CLOSE_TIMEOUT_MS)
    // What still comes is read and dropped: unread octets would turn our end into a reset, and lose the GOAWAY.
    this.#socket.resume()
  }

  #closeExpired(): void {
    if (this.#state === 'draining') this.#run(() => this.#sayLastId())
    else if (this.output.writing) this.#closeDeadline.arm(CLOSE_TIMEOUT_MS)
    else this.destroy()
  }

  /** Nobody reads answers whose connection is half closed, and `node:net` closes the other half by itself. */
  #clientEnded(): void {
    if (this.#ended) return
    this.#run(() => {
      for (const stream of this.streams.values()) this.closeStream(stream)
      this.#end()
    })
  }

  #closed(): void {
    if (this.#state === 'closed') return
    this.#busy = true
    this.#ended = true
    for (const stream of this.streams.values()) this.closeStream(stream)
    for (const list of [this.#leavingStreams, this.#handedOver]) {
      for (const stream of list) {
        stream.complete = false
        this.#overStreams.push(stream)
      }
      list.length = 0
    }
    this.#tellOver()
    this.#state = 'closed'
    this.reader.discard()
    this.output.discard()
    this.#headDeadline.release()
    this.#idleDeadline.release()
    this.#settingsDeadline.release()
    this.#writeDeadline.release()
    this.#watchDeadline.release()
    this.#closeDeadline.release()
    this.onClose?.()
  }
}

function wakeConnection(connection: Connection): void {
  connection.awake()
}

function nothing(): void {}

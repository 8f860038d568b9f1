import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { Clock } from '../../http/clock.ts'
import type { ClientFacts, FrontDoor, ReadyAnswer, RequestHead } from '../exchange.ts'
import type { TransportLimits } from '../limits.ts'
import { Deadline, type TimerWheel } from '../timer-wheel.ts'
import { MAX_VOLATILE_BYTES, writeVolatileHttp1 } from '../volatile-fields.ts'
import { BodyDecoder } from './body-decoder.ts'
import { type ExchangeHost, Http1Exchange } from './exchange.ts'
import { FieldSection } from './field-section.ts'
import { InputBuffer } from './input-buffer.ts'
import { Output } from './output.ts'
import { refusal } from './refusal.ts'
import { type BodyHost, Http1RequestBody } from './request-body.ts'
import { CHUNKED_BODY, NO_BODY, RequestReader } from './request-reader.ts'
import { ReaderView } from './request-view.ts'

export interface Http1Options {
  readonly door: FrontDoor
  readonly limits: TransportLimits
  readonly clock: Clock
  readonly wheel: TimerWheel
  /** What was read from the socket before it came here. */
  readonly initialData?: Buffer
}

export interface Http1Connection {
  /** Finishes the exchange under way, then closes; an idle connection closes at once. */
  drain(): void
  destroy(): void
  /** The socket is closed. */
  onClose: (() => void) | null
}

/**
 * Serves HTTP/1.0 and HTTP/1.1 (RFC 9112) on a socket until one side closes it. The connection owns the socket; it never
 * throws, whatever comes.
 */
export function serveHttp1(
  socket: Duplex,
  client: ClientFacts,
  options: Http1Options,
): Http1Connection {
  return new Connection(socket, client, options)
}

/** Input that may wait while a request is under way; beyond, the socket is not read. Until then its end is noticed. */
const MAX_WAITING_INPUT_BYTES = 64 * 1024
/** After our last byte: what the client may still send before we stop listening, so that it can read our answer. */
const LINGER_MS = 2_000
const MAX_LINGER_BYTES = 1024 * 1024
/** RFC 9112 §2.2: empty lines ahead of a request line are old clients' habit. */
const MAX_EMPTY_LINES = 2

const OPEN = 0
/** No more requests; what is in the output still leaves. */
const CLOSING = 1
/** We have ended our side and wait for the client to end its own. */
const LINGERING = 2
const CLOSED = 3

/** What the read deadline stands for. */
const NOTHING = 0
const IDLE = 1
const HEAD = 2
const BODY = 3
const LINGER = 4

const END = Buffer.from('\r\n', 'latin1')
const END_CLOSE = Buffer.from('connection: close\r\n\r\n', 'latin1')
const END_KEEP_ALIVE = Buffer.from('connection: keep-alive\r\n\r\n', 'latin1')
const MAX_END_BYTES = 32

const sections = new WeakMap<TransportLimits, FieldSection>()

class Connection implements Http1Connection, ExchangeHost, BodyHost {
  onClose: (() => void) | null = null
  readonly output: Output
  readonly clock: Clock
  readonly #socket: Duplex
  readonly #client: ClientFacts
  readonly #door: FrontDoor
  readonly #limits: TransportLimits
  readonly #wheel: TimerWheel
  readonly #scheme: 'http' | 'https'
  readonly #section: FieldSection
  readonly #reader: RequestReader
  readonly #view: ReaderView
  readonly #input = new InputBuffer()
  readonly #readDeadline: Deadline
  readonly #advanceSoon: () => void
  #purpose = NOTHING
  #state = OPEN
  #advancing = false
  #paused = false
  #inputEnded = false
  /** The framing of the last request body is broken: nothing that follows can be a request. */
  #inputBroken = false
  #draining = false
  #exchange: Http1Exchange | null = null
  #body: Http1RequestBody | null = null
  #continueDue = false
  /** A request has been read, and nobody has taken it on yet. */
  #unanswered = false
  #requests = 0
  #emptyLines = 0
  /** Octets of an incomplete head that have been looked at: it is read again only when another line has come. */
  #headBytesSeen = 0
  #chunkAt = 0
  #lingeredBytes = 0
  #bodyWindowBytes = 0
  #bodyWindowStart = 0
  #bodyTimeLeftMs = 0

  constructor(socket: Duplex, client: ClientFacts, options: Http1Options) {
    const { limits, wheel, initialData } = options
    this.#socket = socket
    this.#client = client
    this.#door = options.door
    this.#limits = limits
    this.#wheel = wheel
    this.clock = options.clock
    this.#scheme = client.secure ? 'https' : 'http'
    this.#section = sectionFor(limits)
    this.#reader = new RequestReader(limits, this.#scheme, this.#section)
    this.#view = new ReaderView(this.#reader, this.#scheme)
    this.output = new Output(
      socket,
      wheel,
      limits.writeTimeoutMs,
      () => this.#onProgress(),
      () => this.destroy(),
    )
    this.#readDeadline = new Deadline(wheel, () => this.#onReadDeadline())
    this.#advanceSoon = () => this.#advance()
    // Registered before the socket can flow, so that the order of the bytes is kept.
    if (initialData !== undefined) process.nextTick(() => this.#onData(initialData))
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('end', () => this.#onEnd())
    // Always followed by 'close', where everything is ended; the reason changes nothing for us.
    socket.on('error', () => {})
    socket.on('close', () => this.#onSocketClose())
    if (socket.destroyed) process.nextTick(() => this.#onSocketClose())
    else this.#watch()
  }

  drain(): void {
    this.#draining = true
    if (this.#state === OPEN && this.#exchange === null && this.#input.available === 0) {
      this.#closeAfterOutput()
    }
  }

  destroy(): void {
    this.#socket.destroy()
  }

  mayPersist(whole: boolean): boolean {
    if (this.#draining || this.#inputBroken) return false
    if (this.#requests >= this.#limits.maxRequestsPerConnection) return false
    const body = this.#body
    if (body === null || body.decoder.done) return true
    if (body.sink !== null) return body.decoder.knownRemaining <= this.#input.available
    // Without 100 (Continue) nobody knows whether the client will send the body.
    if (!whole) return !this.#continueDue
    this.#discard(body)
    return body.decoder.done
  }

  responseQueued(): void {
    // What is left to do waits for the last byte to leave: `#onProgress`.
  }

  cut(headSent: boolean): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#endExchange(exchange, false)
    if (!headSent) {
      this.#closeAfterOutput()
      return
    }
    // A reset tells even a client that reads until the connection closes. Underneath TLS it must not be used: there,
    // the missing close_notify tells (and Node 26 crashes).
    const socket = this.#socket
    if (socket instanceof Socket && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
    else socket.destroy()
  }

  #onData(chunk: Buffer): void {
    if (this.#state !== OPEN || this.#inputBroken) {
      if (this.#state !== LINGERING) return
      this.#lingeredBytes += chunk.length
      if (this.#lingeredBytes > MAX_LINGER_BYTES) this.destroy()
      return
    }
    this.#input.append(chunk)
    if (this.#purpose === BODY) this.#bodyWindowBytes += chunk.length
    this.#advance()
  }

  #onEnd(): void {
    this.#inputEnded = true
    this.#advance()
  }

  #onProgress(): void {
    const exchange = this.#exchange
    // All hits, all answered: nothing to do.
    if (exchange === null && this.#state === OPEN && this.#idle) return
    if (exchange !== null) {
      if (exchange.queued && this.output.empty) {
        const { keepAlive } = exchange
        this.#endExchange(exchange, true)
        if (!keepAlive || this.#inputBroken) this.#closeAfterOutput()
      } else this.#guarded(() => exchange.resumeWriter())
    }
    if (this.#state === CLOSING && this.output.empty) this.#linger()
    else this.#advance()
  }

  get #idle(): boolean {
    return this.#input.available === 0 && !this.#inputEnded
  }

  #onSocketClose(): void {
    if (this.#state === CLOSED) return
    const exchange = this.#exchange
    if (exchange !== null) this.#endExchange(exchange, false)
    this.#state = CLOSED
    this.#readDeadline.release()
    this.output.release()
    this.#input.clear()
    this.onClose?.()
  }

  /** Does what can be done with what is there. Every event ends here. */
  #advance(): void {
    if (this.#advancing || this.#state === CLOSED) return
    this.#advancing = true
    this.#chunkAt = performance.now()
    try {
      while (this.#step());
    } catch (error) {
      this.#fail(error)
    }
    this.#advancing = false
    this.output.flush()
    this.#reader.release()
    this.#input.settle()
    this.#regulate()
    this.#watch()
  }

  /** True when there may be more to do at once. */
  #step(): boolean {
    if (this.#state !== OPEN) return false
    if (this.#exchange !== null) {
      if (this.#body !== null) this.#feed(this.#body)
      return false
    }
    if (this.output.full) {
      this.output.flush()
      if (this.output.full) return false
    }
    const before = this.#input.available
    if (before > 0 && this.#nextRequest()) return true
    if (this.#inputEnded && this.#state === OPEN && this.#exchange === null) {
      if (this.#input.available > 0) this.#refuse(400, 'the request is cut short')
      else this.#closeAfterOutput()
    }
    return false
  }

  #nextRequest(): boolean {
    const input = this.#input
    if (!this.#worthReading()) return false
    while (input.bytes[input.start] === 0x0d && this.#emptyLines < MAX_EMPTY_LINES) {
      if (input.available < 2) return false
      if (input.bytes[input.start + 1] !== 0x0a) break
      input.start += 2
      this.#emptyLines++
      if (input.available === 0) return false
    }
    const reader = this.#reader
    const next = reader.read(input.bytes, input.start, input.end)
    if (next === 0 && input.available <= this.#limits.maxHeaderBytes) {
      this.#headBytesSeen = input.available
      return false
    }
    this.#requests++
    this.#headBytesSeen = 0
    this.#emptyLines = 0
    if (next === 0) this.#refuse(431, 'the request head is larger than this server takes')
    else if (next < 0) this.#refuse(reader.status, reader.reason)
    if (next <= 0) return false
    this.#disarm()
    input.start = next
    if (reader.bodyLength === NO_BODY && (reader.method === 'GET' || reader.method === 'HEAD')) {
      this.#unanswered = true
      const answer = this.#door.lookUp(this.#view, this.#client)
      this.#unanswered = false
      if (answer !== null) {
        this.#answer(answer)
        return true
      }
    }
    this.#handle()
    return true
  }

  /** A head that dribbles in is read again once per line, not once per packet: the cost stays linear. */
  #worthReading(): boolean {
    const seen = this.#headBytesSeen
    const { bytes, start, available } = this.#input
    if (seen === 0 || available > this.#limits.maxHeaderBytes) return true
    if (bytes.indexOf(0x0a, start + seen) !== -1) return true
    this.#headBytesSeen = available
    return false
  }

  /** The fast lane: a stored head, the three fields that change, and the body. */
  #answer(answer: ReadyAnswer): void {
    const reader = this.#reader
    const output = this.output
    const keepAlive =
      reader.keepAlive && !this.#draining && this.#requests < this.#limits.maxRequestsPerConnection
    const head = answer.http1Head
    output.append(head)
    const buffer = output.reserve(MAX_VOLATILE_BYTES + MAX_END_BYTES)
    let at = writeVolatileHttp1(buffer, output.offset, answer, this.clock)
    const end = !keepAlive ? END_CLOSE : reader.minorVersion === 0 ? END_KEEP_ALIVE : END
    buffer.set(end, at)
    at += end.length
    output.advanceTo(at)
    let bytes = 0
    if (answer.body !== null && reader.method !== 'HEAD') {
      output.append(answer.body)
      bytes = answer.body.length
    }
    this.#door.answered(this.#view, this.#client, answer, bytes, this.#chunkAt)
    if (!keepAlive) this.#closeAfterOutput()
  }

  #handle(): void {
    const reader = this.#reader
    const { bodyLength } = reader
    const request: RequestHead = {
      method: reader.method,
      scheme: this.#scheme,
      authority: reader.authority,
      target: reader.target,
      httpVersion: reader.minorVersion === 1 ? '1.1' : '1.0',
      fields: reader.fields,
    }
    this.#body = null
    this.#continueDue = false
    if (bodyLength !== NO_BODY) {
      const decoder = new BodyDecoder(bodyLength, this.#section, this.#limits.maxHeaderBytes)
      const length = bodyLength === CHUNKED_BODY ? undefined : bodyLength
      this.#body = new Http1RequestBody(length, decoder, this)
      this.#continueDue = reader.expectsContinue
      this.#bodyTimeLeftMs = this.#limits.bodyTimeoutMs
    }
    const exchange = new Http1Exchange(
      this,
      request,
      this.#body,
      this.#client,
      performance.now(),
      reader.keepAlive,
    )
    this.#exchange = exchange
    this.#door.handle(exchange)
  }

  bodyWanted(): void {
    if (this.#continueDue) {
      this.#continueDue = false
      // RFC 9110 §10.1.1: not when the body, or the final response, is already there.
      if (this.#input.available === 0 && this.#exchange?.responded === false) {
        this.output.appendText('HTTP/1.1 100 Continue\r\n\r\n')
        this.output.flushSoon()
      }
    }
    process.nextTick(this.#advanceSoon)
  }

  bodyPaused(): void {
    this.#watch()
  }

  #feed(body: Http1RequestBody): void {
    const { decoder } = body
    const input = this.#input
    while (body.flowing && !decoder.done && input.available > 0) {
      const before = input.start
      input.start = decoder.step(input.bytes, before, input.end)
      if (decoder.broken !== null) {
        this.#breakBody(400, `the request body: ${decoder.broken}`)
        return
      }
      const { dataStart, dataEnd } = decoder
      if (dataEnd > dataStart) body.sink?.onChunk(input.bytes.subarray(dataStart, dataEnd))
      else if (input.start === before) break
    }
    if (!body.flowing) return
    if (decoder.done) body.finish()
    else if (this.#inputEnded) this.#breakBody(400, 'the request body is cut short')
  }

  #breakBody(status: number, reason: string): void {
    const exchange = this.#exchange
    this.#inputBroken = true
    this.#input.clear()
    this.#body?.abandon()
    // The sink may have ended the exchange when it heard.
    if (exchange === null || exchange !== this.#exchange) return
    exchange.keepAlive = false
    if (exchange.responded) return
    this.#endExchange(exchange, false)
    this.#send(status, reason)
  }

  /** Reads over the rest of a body that nobody wants, as far as it is here. */
  #discard(body: Http1RequestBody): void {
    const input = this.#input
    const { decoder } = body
    body.abandon()
    while (!decoder.done && decoder.broken === null && input.available > 0) {
      const before = input.start
      input.start = decoder.step(input.bytes, before, input.end)
      if (input.start === before && decoder.dataEnd === 0) break
    }
    if (!decoder.done) this.#inputBroken = true
  }

  #endExchange(exchange: Http1Exchange, complete: boolean): void {
    const body = this.#body
    this.#exchange = null
    this.#body = null
    this.#guarded(() => {
      if (body !== null && !body.decoder.done) this.#discard(body)
      body?.abandon()
    })
    this.#guarded(() => exchange.close(complete))
  }

  #refuse(status: number, reason: string): void {
    this.#guarded(() => this.#door.refused(this.#client, status, reason))
    this.#send(status, reason)
  }

  #send(status: number, reason: string): void {
    this.output.appendText(refusal(status, reason, this.clock.date, this.#reader.method === 'HEAD'))
    this.#closeAfterOutput()
  }

  #closeAfterOutput(): void {
    if (this.#state !== OPEN) return
    this.#state = CLOSING
    this.#input.clear()
    this.#disarm()
    if (this.output.empty) this.#linger()
    else {
      this.output.flushSoon()
      this.#regulate()
    }
  }

  /** Closing at once with input unread would make the kernel send a reset that overtakes our answer (RFC 9112 §9.6). */
  #linger(): void {
    this.#state = LINGERING
    this.#socket.end()
    this.#arm(LINGER, LINGER_MS)
    this.#regulate()
  }

  /** Reading from the socket is the only back-pressure that a client feels, and the only way to notice that it left. */
  #regulate(): void {
    const busy = this.#exchange !== null && !this.#body?.flowing
    const stalled = this.#exchange === null && this.output.full
    const enough =
      this.#state === OPEN && (busy || stalled) && this.#input.available > MAX_WAITING_INPUT_BYTES
    if (enough === this.#paused) return
    this.#paused = enough
    if (enough) this.#socket.pause()
    else this.#socket.resume()
  }

  #watch(): void {
    if (this.#state !== OPEN) return
    if (this.#exchange !== null) {
      const reading = this.#body?.flowing === true && !this.#body.decoder.done
      if (!reading) this.#disarm()
      else if (this.#purpose !== BODY) this.#watchBody()
    } else if (this.output.full) this.#disarm()
    else if (this.#input.available > 0 || this.#requests === 0) {
      if (this.#purpose !== HEAD) this.#arm(HEAD, this.#limits.headerTimeoutMs)
    } else this.#arm(IDLE, this.#limits.idleTimeoutMs)
  }

  #watchBody(): void {
    this.#bodyWindowBytes = 0
    this.#bodyWindowStart = this.#wheel.now()
    this.#arm(BODY, Math.min(this.#limits.bodyRateWindowMs, this.#bodyTimeLeftMs))
  }

  #arm(purpose: number, ms: number): void {
    this.#purpose = purpose
    this.#readDeadline.arm(ms)
  }

  #disarm(): void {
    // Only the time in which we were willing to read counts against the client.
    if (this.#purpose === BODY) this.#spendBodyTime()
    this.#purpose = NOTHING
    this.#readDeadline.disarm()
  }

  #spendBodyTime(): void {
    this.#bodyTimeLeftMs -= this.#wheel.now() - this.#bodyWindowStart
  }

  #onReadDeadline(): void {
    const purpose = this.#purpose
    if (purpose === BODY) this.#spendBodyTime()
    this.#purpose = NOTHING
    switch (purpose) {
      case IDLE:
        // A long download from the fast lane is under the write deadline.
        if (this.output.empty) this.#closeAfterOutput()
        else this.#watch()
        break
      case HEAD:
        if (this.#input.available === 0 && this.output.empty) this.#closeAfterOutput()
        else this.#refuse(408, 'the request head took too long')
        break
      case BODY:
        this.#onBodyDeadline()
        break
      case LINGER:
        this.destroy()
        break
    }
  }

  #onBodyDeadline(): void {
    const { minBodyBytesPerSecond, bodyRateWindowMs } = this.#limits
    const enough = this.#bodyWindowBytes >= (minBodyBytesPerSecond * bodyRateWindowMs) / 1000
    if (this.#bodyTimeLeftMs > 0 && enough) this.#watchBody()
    else this.#guarded(() => this.#breakBody(408, 'the request body came too slowly'))
  }

  #guarded(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The pipeline threw, which it promised not to: this connection ends, the others do not notice. */
  #fail(error: unknown): void {
    process.emitWarning(error instanceof Error ? error : new Error(String(error)))
    const exchange = this.#exchange
    const owed = this.#unanswered || exchange?.responded === false
    this.#unanswered = false
    if (exchange?.responded) exchange.abort()
    else if (exchange !== null) this.#endExchange(exchange, false)
    if (this.#state !== OPEN) return
    if (owed) this.#send(500, 'this server made a mistake')
    else this.#closeAfterOutput()
  }
}

function sectionFor(limits: TransportLimits): FieldSection {
  let section = sections.get(limits)
  if (section === undefined) {
    section = new FieldSection(limits.maxHeaderCount)
    sections.set(limits, section)
  }
  return section
}

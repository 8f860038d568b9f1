import type { Duplex } from 'node:stream'
import type { Clock } from '../../http/clock.ts'
import type { Fields } from '../../http/fields.ts'
import { BodyDecoder } from '../../http/message/body-decoder.ts'
import type { FieldSection } from '../../http/message/field-section.ts'
import { CHUNKED_BODY, NO_BODY } from '../../http/message/framing.ts'
import { InputBuffer } from '../../http/message/input-buffer.ts'
import type { ClientFacts, FrontDoor, ReadyAnswer, RequestHead } from '../exchange.ts'
import type { TransportLimits } from '../limits.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { SwitchRefusal } from '../upgraded-connection.ts'
import { cutSocket } from './cut-socket.ts'
import { type ExchangeHost, Http1Exchange } from './exchange.ts'
import { HeadIntake } from './head-intake.ts'
import { Output } from './output.ts'
import { BODY, IDLE, LINGER, PARTING, ReadClock } from './read-clock.ts'
import { writeReadyAnswer } from './ready-answer.ts'
import { refusal } from './refusal.ts'
import { type BodyHost, Http1RequestBody } from './request-body.ts'
import { RequestReader } from './request-reader.ts'
import { ReaderView } from './request-view.ts'
import { switchingHead } from './response-head.ts'
import { sharedSection } from './shared-section.ts'
import { UpgradedSocket, type UpgradeHost } from './upgraded-socket.ts'

export interface Http1Options {
  readonly door: FrontDoor
  readonly limits: TransportLimits
  readonly clock: Clock
  readonly wheel: TimerWheel
  /** What was read from the socket before it came here. */
  readonly initialData?: Buffer
}

export interface Http1Connection {
  /** Finishes the exchange under way, or one that is about to come, then closes. */
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
const MAX_LINGER_BYTES = 1024 * 1024

const OPEN = 0
/** No more requests; what is in the output still leaves. */
const CLOSING = 1
/** We have ended our side and wait for the client to end its own. */
const LINGERING = 2
const CLOSED = 3
/** HTTP is over on this connection: what comes is the upgraded socket's. */
const UPGRADED = 4

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

class Connection implements Http1Connection, ExchangeHost, BodyHost, UpgradeHost {
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
  readonly #intake: HeadIntake
  readonly #readClock: ReadClock
  readonly #advanceSoon: () => void
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
  #continued = false
  #upgraded: UpgradedSocket | null = null
  /** A request has been read, and nobody has taken it on yet. */
  #unanswered = false
  #requests = 0
  #chunkAt = 0
  #lingeredBytes = 0

  constructor(socket: Duplex, client: ClientFacts, options: Http1Options) {
    const { limits, wheel, initialData } = options
    this.#socket = socket
    this.#client = client
    this.#door = options.door
    this.#limits = limits
    this.#wheel = wheel
    this.clock = options.clock
    this.#scheme = client.secure ? 'https' : 'http'
    this.#section = sharedSection(limits)
    this.#reader = new RequestReader(limits, this.#scheme, this.#section)
    this.#intake = new HeadIntake(this.#reader, limits.maxHeaderBytes)
    this.#view = new ReaderView(this.#reader, this.#scheme)
    this.output = new Output(
      socket,
      wheel,
      limits.writeTimeoutMs,
      () => this.#onProgress(),
      () => this.destroy(),
    )
    this.#readClock = new ReadClock(limits, wheel, (waitedFor) => this.#onExpired(waitedFor))
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
    // The next request may be on its way, the first of a new connection even probably: closing now would lose it, and
    // the client may not be free to send it again. Its answer says that the connection ends.
    this.#watch()
  }

  destroy(): void {
    this.#giveUp()
    this.#socket.destroy()
  }

  mayPersist(whole: boolean): boolean {
    if (this.#draining || this.#inputBroken) return false
    if (this.#requests >= this.#limits.maxRequestsPerConnection) return false
    const body = this.#body
    if (body === null || body.decoder.done) return true
    if (body.sink !== null) return body.decoder.knownRemaining <= this.#input.available
    // Without 100 (Continue) nobody knows whether the client will send the body.
    if (!whole) return !this.#continueDue || this.#input.available > 0
    this.#discard(body)
    return body.decoder.done
  }

  responseQueued(): void {
    // What is left to do waits for the last byte to leave; when that has left already, nothing else would say so.
    if (this.output.empty) process.nextTick(() => this.#onProgress())
  }

  cut(headSent: boolean): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#endExchange(exchange, false)
    if (!headSent) {
      this.#closeAfterOutput()
      return
    }
    this.#giveUp()
    cutSocket(this.#socket)
  }

  switchProtocols(protocol: string, fields: Fields): UpgradedSocket | SwitchRefusal {
    if (this.#state !== OPEN) return 'answered'
    // RFC 9110 §7.8: the request is read to its end first, so that what follows it can only be the new protocol.
    if (this.#body !== null && !this.#body.finished) return 'request-unfinished'
    const { output } = this
    // RFC 9110 §7.8: a client that expects 100 gets it ahead of 101, even when its content was already here.
    if (this.#reader.expectsContinue && !this.#continued) output.appendText(CONTINUE)
    output.appendText(switchingHead(protocol, fields))
    output.flushSoon()
    this.#state = UPGRADED
    this.#readClock.nothing()
    this.#upgraded = new UpgradedSocket(protocol, this, {
      socket: this.#socket,
      input: this.#input,
      inputEnded: this.#inputEnded,
      wheel: this.#wheel,
      idleTimeoutMs: this.#limits.idleTimeoutMs,
    })
    return this.#upgraded
  }

  /** Until 'close' comes, nothing that is still in the input may be served. */
  #giveUp(): void {
    if (this.#state === CLOSED) return
    this.#state = CLOSING
    this.#input.clear()
    this.#readClock.nothing()
  }

  #onData(chunk: Buffer): void {
    if (this.#state !== OPEN || this.#inputBroken) {
      if (this.#state === UPGRADED) this.#upgraded?.receive(chunk)
      if (this.#state !== LINGERING) return
      this.#lingeredBytes += chunk.length
      if (this.#lingeredBytes > MAX_LINGER_BYTES) this.destroy()
      return
    }
    this.#input.append(chunk)
    this.#readClock.received(chunk.length)
    this.#advance()
  }

  #onEnd(): void {
    this.#inputEnded = true
    if (this.#state === UPGRADED) this.#upgraded?.receiveEnd()
    else this.#advance()
  }

  #onProgress(): void {
    const exchange = this.#exchange
    // All hits, all answered: nothing to do.
    if (exchange === null && this.#state === OPEN && this.#idle) return
    if (this.#state === UPGRADED) {
      this.#upgraded?.progressed()
      return
    }
    if (exchange !== null) {
      if (exchange.queued && this.output.empty) {
        const { keepAlive } = exchange
        this.#endExchange(exchange, true)
        if (!keepAlive || this.#inputBroken) this.#closeAfterOutput()
      } else this.guarded(() => exchange.resumeWriter())
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
    this.#readClock.release()
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
    const reader = this.#reader
    const taken = this.#intake.take(this.#input)
    if (taken === 0) return false
    this.#requests++
    if (taken < 0) {
      this.#refuse(reader.status, reader.reason)
      return false
    }
    this.#readClock.nothing()
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

  #answer(answer: ReadyAnswer): void {
    const reader = this.#reader
    const last = this.#draining || this.#requests >= this.#limits.maxRequestsPerConnection
    const keepAlive = reader.keepAlive && !last
    const http10 = reader.minorVersion === 0
    const withBody = reader.method !== 'HEAD'
    const { output, clock } = this
    const bytes = writeReadyAnswer(output, answer, clock, keepAlive, http10, withBody)
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
    this.#continued = false
    if (bodyLength !== NO_BODY) {
      const decoder = new BodyDecoder(bodyLength, this.#section, this.#limits.maxHeaderBytes)
      const length = bodyLength === CHUNKED_BODY ? undefined : bodyLength
      this.#body = new Http1RequestBody(length, decoder, this)
      this.#continueDue = reader.expectsContinue
      this.#readClock.newBody()
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
        this.#continued = true
        this.output.appendText(CONTINUE)
        this.output.flushSoon()
      }
    }
    process.nextTick(this.#advanceSoon)
  }

  bodyPaused(): void {
    this.#watch()
  }

  #feed(body: Http1RequestBody): void {
    const broken = body.feed(this.#input)
    if (broken !== null) this.#breakBody(400, `the request body: ${broken}`)
    else if (body.flowing && this.#inputEnded) this.#breakBody(400, 'the request body is cut short')
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
    body.abandon()
    body.skip(this.#input)
    if (!body.decoder.done) this.#inputBroken = true
  }

  #endExchange(exchange: Http1Exchange, complete: boolean): void {
    const body = this.#body
    this.#exchange = null
    this.#body = null
    this.guarded(() => {
      if (body !== null && !body.decoder.done) this.#discard(body)
      body?.abandon()
    })
    this.guarded(() => exchange.close(complete))
  }

  #refuse(status: number, reason: string): void {
    this.guarded(() => this.#door.refused(this.#client, status, reason))
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
    this.#readClock.nothing()
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
    this.#readClock.linger()
    this.#regulate()
  }

  /** Reading from the socket is the only back-pressure that a client feels, and the only way to notice that it left. */
  #regulate(): void {
    if (this.#state === UPGRADED) return
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
    const clock = this.#readClock
    if (this.#exchange !== null) {
      if (this.#body?.flowing) clock.body()
      else clock.nothing()
    } else if (this.output.full) clock.nothing()
    else if (this.#input.available > 0 || this.#requests === 0) clock.head()
    else if (this.#draining) clock.parting()
    else clock.idle()
  }

  #onExpired(waitedFor: number): void {
    const silent = this.#input.available === 0 && this.output.empty
    if (waitedFor === LINGER) this.destroy()
    else if (waitedFor === BODY) {
      this.guarded(() => this.#breakBody(408, 'the request body came too slowly'))
    } else if (silent) this.#closeAfterOutput()
    // A long download from the fast lane is under the write deadline.
    else if (waitedFor === IDLE || waitedFor === PARTING) this.#watch()
    else this.#refuse(408, 'the request head took too long')
  }

  guarded(call: () => void): void {
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

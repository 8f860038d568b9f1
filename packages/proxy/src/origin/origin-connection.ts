import type { Socket } from 'node:net'
import type { Fields } from '../http/fields.ts'
import { BodyDecoder } from '../http/message/body-decoder.ts'
import { FieldSection } from '../http/message/field-section.ts'
import { NO_BODY } from '../http/message/framing.ts'
import { InputBuffer } from '../http/message/input-buffer.ts'
import { ProxyError } from '../http/proxy-error.ts'
import { Deadline, type TimerWheel } from '../transport/timer-wheel.ts'
import type { OriginTarget } from './dial.ts'
import type { OriginHandler, OriginRequest } from './origin-fetch.ts'
import { RequestWriter, type RequestWriterHost, writeRequestHead } from './request-writer.ts'
import { ResponseReader, UNTIL_CLOSE } from './response-reader.ts'

export interface ConnectionTimeouts {
  /** From the end of the request to the head of the response; also for how long the origin may refuse to take more. */
  readonly firstByteMs: number
  /** Between two pieces of the response body. */
  readonly idleMs: number
}

/** All heads of one response, or its trailers, beyond this are cut off. */
const MAX_HEAD_BYTES = 128 * 1024
const MAX_FIELDS = 512

/** Shared: it holds nothing between two calls. */
const section = new FieldSection(MAX_FIELDS)

/** What the pool does when a connection's state changes. */
export interface ConnectionOwner {
  /** Ready for the next request. */
  idle(connection: OriginConnection): void
  /** Called once. */
  closed(connection: OriginConnection): void
}

/**
 * One HTTP/1.1 connection to an origin, one request at a time. It is used again only when request and response were
 * both complete and nothing else was said: bytes that nobody asked for end it (RFC 9112 §9.2).
 */
export class OriginConnection implements RequestWriterHost {
  /** Requests completed on it: the first is never retried, a later one may have met a closing connection. */
  served = 0
  /** A byte of the current response has come. */
  answered = false
  readonly #owner: ConnectionOwner
  readonly #socket: Socket
  readonly #target: OriginTarget
  readonly #timeouts: ConnectionTimeouts
  readonly #deadline: Deadline
  readonly #reader = new ResponseReader(section, MAX_HEAD_BYTES)
  readonly #input = new InputBuffer()
  #handler: OriginHandler | null = null
  #writer: RequestWriter | null = null
  #phase: 'idle' | 'head' | 'body' | 'closed' = 'idle'
  /** null while the body is all that comes until the connection ends. */
  #decoder: BodyDecoder | null = null
  #keepAlive = false
  #paused = false

  /** `socket` is connected, secured where it has to be, and has no listeners. */
  constructor(
    owner: ConnectionOwner,
    socket: Socket,
    target: OriginTarget,
    timeouts: ConnectionTimeouts,
    wheel: TimerWheel,
  ) {
    this.#owner = owner
    this.#socket = socket
    this.#target = target
    this.#timeouts = timeouts
    this.#deadline = new Deadline(wheel, () => this.#expired())
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('end', () => this.#ended())
    socket.on('error', (cause) => this.#lost(cause))
    socket.on('close', () => this.#lost(undefined))
  }

  /** Requires an idle connection. */
  send(request: OriginRequest, handler: OriginHandler): void {
    this.#handler = handler
    this.#phase = 'head'
    this.#reader.begin(request.method)
    this.answered = false
    this.#socket.write(writeRequestHead(request, this.#target.authority), 'latin1')
    if (request.body === null) {
      this.#deadline.arm(this.#timeouts.firstByteMs)
      return
    }
    this.#writer = new RequestWriter(this.#socket, request.body, this)
    this.#writer.start()
  }

  // What the writer of the request body tells

  blocked(): void {
    if (this.#phase === 'head') this.#deadline.arm(this.#timeouts.firstByteMs)
  }

  /** A client that is slow to send is no fault of the origin. */
  moving(): void {
    if (this.#phase === 'head') this.#deadline.disarm()
  }

  bodyEnded(complete: boolean): void {
    // The origin must see that the request is not whole: its framing is left unfinished.
    if (!complete) this.#fail(new ProxyError('REQUEST_CUT'))
    else if (this.#phase === 'head') this.#deadline.arm(this.#timeouts.firstByteMs)
  }

  pause(): void {
    if (this.#phase !== 'body') return
    this.#paused = true
    this.#socket.pause()
    this.#deadline.disarm()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#deadline.arm(this.#timeouts.idleMs)
    this.#socket.resume()
    this.#advance()
  }

  /** Forgets the handler; the connection is gone. */
  destroy(): void {
    this.#handler = null
    this.#close()
  }

  #received(chunk: Buffer): void {
    if (this.#phase === 'closed') return
    // A response nobody asked for: what else it might contain cannot be known.
    if (this.#phase === 'idle') return this.#close()
    this.answered = true
    this.#input.append(chunk)
    this.#advance()
  }

  #advance(): void {
    const input = this.#input
    while (input.available > 0 && !this.#paused) {
      if (this.#phase === 'head') {
        if (!this.#readHead()) break
      } else if (this.#phase === 'body') {
        if (!this.#readBody()) break
      } else break
    }
    // Whatever follows a complete response belongs to nobody.
    if (this.#phase === 'idle' && input.available > 0) this.#close()
    input.settle()
  }

  /** False when more input is needed, or nothing more is to be read. */
  #readHead(): boolean {
    const reader = this.#reader
    const taken = reader.take(this.#input)
    if (taken === 0) return false
    if (taken < 0) {
      const { name } = this.#target
      this.#fail(
        reader.tooLarge
          ? new ProxyError('ORIGIN_HEAD_TOO_LARGE', [name, MAX_HEAD_BYTES])
          : new ProxyError('ORIGIN_INVALID_RESPONSE', [name, reader.reason]),
      )
      return false
    }
    if (reader.status < 200) return this.#interimHead(reader.status, reader.fields)
    this.#finalHead(reader.status, reader.fields)
    return true
  }

  #interimHead(status: number, fields: Fields): boolean {
    if (status === 101) {
      this.#fail(new ProxyError('ORIGIN_UPGRADE_REFUSED', [this.#target.name]))
      return false
    }
    // RFC 9110 §10.1.1: the client's expectation was met by this proxy, and never sent on.
    if (status !== 100) this.#handler?.onInterim(status, fields)
    return true
  }

  #finalHead(status: number, fields: Fields): void {
    const { bodyLength, keepAlive } = this.#reader
    this.#phase = 'body'
    this.#deadline.arm(this.#timeouts.idleMs)
    // An answer that came before the request was whole leaves a connection that still owes a body.
    this.#keepAlive = keepAlive && this.#writer?.done !== false
    this.#decoder =
      bodyLength === NO_BODY || bodyLength === UNTIL_CLOSE
        ? null
        : new BodyDecoder(bodyLength, section, MAX_HEAD_BYTES)
    const isUncertain = bodyLength === UNTIL_CLOSE && this.#target.secure !== null
    const framing = isUncertain ? 'until-close' : 'certain'
    this.#handler?.onHead(status, fields, this.#target.name, framing)
    if (bodyLength === NO_BODY) this.#complete(null)
  }

  #readBody(): boolean {
    const input = this.#input
    this.#deadline.arm(this.#timeouts.idleMs)
    const decoder = this.#decoder
    if (decoder === null) {
      const chunk = input.bytes.subarray(input.start, input.end)
      input.start = input.end
      this.#handler?.onChunk(chunk)
      return true
    }
    const before = input.start
    input.start = decoder.step(input.bytes, before, input.end)
    if (decoder.broken !== null) {
      this.#fail(new ProxyError('ORIGIN_INVALID_RESPONSE', [this.#target.name, decoder.broken]))
      return false
    }
    const { dataStart, dataEnd } = decoder
    if (dataEnd > dataStart) this.#handler?.onChunk(input.bytes.subarray(dataStart, dataEnd))
    if (decoder.done) {
      this.#complete(decoder.trailers)
      return true
    }
    return input.start !== before
  }

  #complete(trailers: Fields | null): void {
    // The handler may have aborted the fetch from inside its callbacks.
    if (this.#phase !== 'body') return
    const handler = this.#handler
    this.#handler = null
    this.#deadline.disarm()
    this.served++
    if (!this.#keepAlive || this.#input.available > 0) {
      this.#close()
      handler?.onEnd(trailers)
      return
    }
    this.#phase = 'idle'
    this.#writer = null
    // The handler may have been too slow for the last bytes; the connection is to hear of the next answer, or its end.
    if (this.#paused) this.#socket.resume()
    this.#paused = false
    handler?.onEnd(trailers)
    this.#owner.idle(this)
  }

  /** FIN: an end for what is framed by it, an accident for everything else. */
  #ended(): void {
    if (this.#phase === 'body' && this.#decoder === null) this.#complete(null)
    else this.#lost(undefined)
  }

  #lost(cause: Error | undefined): void {
    const { name } = this.#target
    if (this.#phase === 'body') {
      this.#fail(new ProxyError('ORIGIN_RESPONSE_INCOMPLETE', [name], cause))
    } else if (this.#phase === 'head') this.#fail(new ProxyError('ORIGIN_CLOSED', [name], cause))
    else this.#close()
  }

  #expired(): void {
    const { name } = this.#target
    const { firstByteMs, idleMs } = this.#timeouts
    this.#fail(
      this.#phase === 'head'
        ? new ProxyError('ORIGIN_FIRST_BYTE_TIMEOUT', [name, firstByteMs])
        : new ProxyError('ORIGIN_IDLE_TIMEOUT', [name, idleMs]),
    )
  }

  #fail(error: ProxyError): void {
    const handler = this.#handler
    this.#handler = null
    this.#close()
    handler?.onError(error)
  }

  #close(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    this.#writer?.abandon()
    this.#deadline.release()
    this.#input.clear()
    this.#socket.destroy()
    this.#owner.closed(this)
  }
}

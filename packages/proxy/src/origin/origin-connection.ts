import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Fields } from '../http/fields.ts'
import { BodyDecoder } from '../http/message/body-decoder.ts'
import { FieldSection } from '../http/message/field-section.ts'
import { NO_BODY } from '../http/message/framing.ts'
import { InputBuffer } from '../http/message/input-buffer.ts'
import { ProxyError } from '../http/proxy-error.ts'
import { Deadline, type TimerWheel } from '../transport/timer-wheel.ts'
import type { OriginHandler, OriginRequest } from './origin-fetch.ts'
import { RequestWriter, writeRequestHead } from './request-writer.ts'
import { ResponseReader, UNTIL_CLOSE } from './response-reader.ts'

export interface ConnectionTarget {
  readonly name: string
  /** Host and port as in its URL: SNI, and Host where the request leaves it open. */
  readonly authority: string
  readonly host: string
  readonly port: number
  readonly secure: boolean
}

export interface ConnectionTimeouts {
  readonly connectMs: number
  readonly firstByteMs: number
  readonly idleMs: number
}

/** Head, trailers or chunk framing of one response beyond this are cut off. */
const MAX_HEAD_BYTES = 128 * 1024
const MAX_FIELDS = 512
const MAX_INTERIM = 32

/** Shared: it holds nothing between two calls. */
const section = new FieldSection(MAX_FIELDS)

/** What the pool does when a connection's state changes. */
export interface ConnectionOwner {
  /** Ready for the next request. */
  idle(connection: OriginConnection): void
  closed(connection: OriginConnection): void
}

/**
 * One HTTP/1.1 connection to an origin, one request at a time. It is used again only when request and response were
 * both complete and nothing else was said: bytes that nobody asked for end it (RFC 9112 §9.2).
 */
export class OriginConnection {
  /** Requests completed on it: the first is never retried, a later one may have met a closing connection. */
  served = 0
  /** A byte of the current response has come. */
  answered = false
  readonly #owner: ConnectionOwner
  readonly #target: ConnectionTarget
  readonly #timeouts: ConnectionTimeouts
  readonly #deadline: Deadline
  readonly #reader = new ResponseReader(section, MAX_HEAD_BYTES)
  readonly #input = new InputBuffer()
  #socket: Socket | null = null
  #handler: OriginHandler | null = null
  #writer: RequestWriter | null = null
  #method = ''
  #phase: 'connecting' | 'idle' | 'head' | 'body' | 'closed' = 'connecting'
  #decoder: BodyDecoder | null = null
  #keepAlive = false
  #interim = 0
  #paused = false
  #onConnected: ((error: ProxyError | null) => void) | null = null

  constructor(
    owner: ConnectionOwner,
    target: ConnectionTarget,
    timeouts: ConnectionTimeouts,
    wheel: TimerWheel,
  ) {
    this.#owner = owner
    this.#target = target
    this.#timeouts = timeouts
    this.#deadline = new Deadline(wheel, () => this.#expired())
  }

  /** `addresses` in order of preference; TCP, and TLS where the origin has it, within `connectMs` in all. */
  connect(address: string, done: (error: ProxyError | null) => void): void {
    const { host, port, secure } = this.#target
    this.#onConnected = done
    this.#deadline.arm(this.#timeouts.connectMs)
    const socket = secure
      ? connectTls({
          host: address,
          port,
          servername: /[a-z]/i.test(host) && !host.includes(':') ? host : '',
          ALPNProtocols: ['http/1.1'],
          minVersion: 'TLSv1.2',
        })
      : connectTcp({ host: address, port })
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on(secure ? 'secureConnect' : 'connect', () => this.#connected())
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('end', () => this.#ended())
    socket.on('error', (error: NodeJS.ErrnoException) => this.#failed(error))
    socket.on('close', () => this.#lost(null))
  }

  #connected(): void {
    const done = this.#onConnected
    this.#onConnected = null
    this.#deadline.disarm()
    this.#phase = 'idle'
    done?.(null)
  }

  /** Requires an idle connection. */
  send(request: OriginRequest, handler: OriginHandler): void {
    const socket = this.#socket
    if (socket === null) return
    this.#handler = handler
    this.#method = request.method
    this.#phase = 'head'
    this.#interim = 0
    this.answered = false
    this.#paused = false
    const head = writeRequestHead(request, this.#target.authority)
    socket.write(head, 'latin1')
    if (request.body === null) {
      this.#writer = null
      this.#deadline.arm(this.#timeouts.firstByteMs)
      return
    }
    this.#writer = new RequestWriter(
      socket,
      request.body,
      () => this.#bodyMoved(),
      (complete) => this.#bodySent(complete),
    )
    this.#writer.start()
  }

  /** The origin takes the request: its time to answer has not begun, but it may not stand still either. */
  #bodyMoved(): void {
    if (this.#phase === 'head') this.#deadline.arm(this.#timeouts.firstByteMs)
  }

  #bodySent(complete: boolean): void {
    if (!complete) {
      // The origin must see that the request is not whole: its framing is left unfinished.
      this.#fail(new ProxyError('REQUEST_CUT'))
      return
    }
    if (this.#phase === 'head') this.#deadline.arm(this.#timeouts.firstByteMs)
  }

  pause(): void {
    if (this.#phase !== 'body' && this.#phase !== 'head') return
    this.#paused = true
    this.#socket?.pause()
    this.#deadline.disarm()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (this.#phase === 'body') this.#deadline.arm(this.#timeouts.idleMs)
    this.#socket?.resume()
    if (this.#input.available > 0) this.#advance()
  }

  /** Forgets the handler; the connection is gone. */
  destroy(): void {
    this.#handler = null
    this.#writer?.abandon()
    this.#close()
  }

  #received(chunk: Buffer): void {
    if (this.#phase === 'idle' || this.#phase === 'connecting') {
      // A response nobody asked for: what else it might contain cannot be known.
      this.#close()
      return
    }
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
    const input = this.#input
    const reader = this.#reader
    const next = reader.read(input.bytes, input.start, input.end, this.#method)
    if (next === 0) {
      if (input.available <= MAX_HEAD_BYTES) return false
      this.#fail(new ProxyError('ORIGIN_HEAD_TOO_LARGE', [this.#target.name, MAX_HEAD_BYTES]))
      return false
    }
    if (next < 0) {
      const error = reader.tooLarge
        ? new ProxyError('ORIGIN_HEAD_TOO_LARGE', [this.#target.name, MAX_HEAD_BYTES])
        : new ProxyError('ORIGIN_INVALID_RESPONSE', [this.#target.name, reader.reason])
      this.#fail(error)
      return false
    }
    input.start = next
    const { status, fields } = reader
    if (fields === null) return false
    if (status < 200) return this.#interimHead(status, fields)
    this.#finalHead(status, fields)
    return true
  }

  #interimHead(status: number, fields: Fields): boolean {
    if (status === 101) {
      this.#fail(new ProxyError('ORIGIN_UPGRADE_REFUSED', [this.#target.name]))
      return false
    }
    if (++this.#interim > MAX_INTERIM) {
      const reason = `more than ${MAX_INTERIM} interim responses`
      this.#fail(new ProxyError('ORIGIN_INVALID_RESPONSE', [this.#target.name, reason]))
      return false
    }
    this.#handler?.onInterim(status, fields)
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
    this.#handler?.onHead(status, fields, this.#target.name)
    if (bodyLength === NO_BODY) this.#complete(null)
  }

  #readBody(): boolean {
    const input = this.#input
    const handler = this.#handler
    this.#deadline.arm(this.#timeouts.idleMs)
    const decoder = this.#decoder
    if (decoder === null) {
      const chunk = input.bytes.subarray(input.start, input.end)
      input.start = input.end
      handler?.onChunk(chunk)
      return true
    }
    const before = input.start
    input.start = decoder.step(input.bytes, before, input.end)
    if (decoder.broken !== null) {
      this.#fail(new ProxyError('ORIGIN_INVALID_RESPONSE', [this.#target.name, decoder.broken]))
      return false
    }
    const { dataStart, dataEnd } = decoder
    if (dataEnd > dataStart) handler?.onChunk(input.bytes.subarray(dataStart, dataEnd))
    if (decoder.done) {
      this.#complete(decoder.trailers)
      return true
    }
    return input.start !== before
  }

  #complete(trailers: Fields | null): void {
    const handler = this.#handler
    // The handler may have aborted the fetch from inside its callbacks.
    if (this.#phase !== 'body') return
    this.#handler = null
    this.#deadline.disarm()
    this.#decoder = null
    this.served++
    if (this.#keepAlive && this.#writer?.done !== false && this.#input.available === 0) {
      this.#phase = 'idle'
      this.#writer = null
      handler?.onEnd(trailers)
      this.#owner.idle(this)
      return
    }
    this.#writer?.abandon()
    handler?.onEnd(trailers)
    this.#close()
  }

  /** FIN: an end for what is framed by it, an accident for everything else. */
  #ended(): void {
    if (this.#phase === 'body' && this.#decoder === null) this.#complete(null)
    else this.#lost(null)
  }

  #failed(error: NodeJS.ErrnoException): void {
    this.#lost(error)
  }

  #lost(cause: NodeJS.ErrnoException | null): void {
    if (this.#phase === 'closed') return
    const { name } = this.#target
    if (this.#phase === 'connecting') {
      const done = this.#onConnected
      this.#onConnected = null
      this.#close()
      done?.(connectError(name, cause))
      return
    }
    if (this.#phase === 'body') {
      this.#fail(new ProxyError('ORIGIN_RESPONSE_INCOMPLETE', [name], cause ?? undefined))
    } else if (this.#phase === 'head') {
      this.#fail(new ProxyError('ORIGIN_CLOSED', [name], cause ?? undefined))
    } else this.#close()
  }

  #expired(): void {
    const { name } = this.#target
    const { connectMs, firstByteMs, idleMs } = this.#timeouts
    if (this.#phase === 'connecting') {
      const done = this.#onConnected
      this.#onConnected = null
      this.#close()
      done?.(new ProxyError('ORIGIN_CONNECT_TIMEOUT', [name, connectMs]))
    } else if (this.#phase === 'head') {
      this.#fail(new ProxyError('ORIGIN_FIRST_BYTE_TIMEOUT', [name, firstByteMs]))
    } else if (this.#phase === 'body') {
      this.#fail(new ProxyError('ORIGIN_IDLE_TIMEOUT', [name, idleMs]))
    } else this.#close()
  }

  #fail(error: ProxyError): void {
    const handler = this.#handler
    this.#handler = null
    this.#writer?.abandon()
    this.#close()
    handler?.onError(error)
  }

  #close(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    this.#deadline.release()
    this.#input.clear()
    this.#socket?.destroy()
    this.#owner.closed(this)
  }
}

const CERTIFICATE_ERROR = /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_CERT)/

function connectError(name: string, cause: NodeJS.ErrnoException | null): ProxyError {
  const code = cause?.code ?? ''
  if (code === 'ECONNREFUSED') return new ProxyError('ORIGIN_REFUSED', [name], cause)
  if (CERTIFICATE_ERROR.test(code)) return new ProxyError('ORIGIN_CERTIFICATE', [name, code], cause)
  if (code.startsWith('ERR_SSL') || code === 'EPROTO') {
    return new ProxyError('ORIGIN_TLS', [name, code], cause)
  }
  if (cause === null || code === 'ECONNRESET' || code === 'EPIPE') {
    return new ProxyError('ORIGIN_CLOSED', [name], cause ?? undefined)
  }
  return new ProxyError('ORIGIN_UNREACHABLE', [name, code || cause.message], cause)
}

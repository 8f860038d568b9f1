import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { CertificatePair } from '@larder/certs'
import type { Test } from 'tap'
import type { Fields } from '../../packages/proxy/src/http/fields.ts'
import { Conditions } from './conditions.ts'
import type { HandClock } from './hand-clock.ts'
import {
  type FieldValues,
  fieldLines,
  framingByFields,
  type MessageHead,
  MessageReader,
} from './message-reader.ts'

/** What the origin was asked. */
export interface OriginRequest {
  readonly method: string
  readonly target: string
  readonly fields: Fields
  /** The head as it came, for tests that count bytes. */
  readonly head: string
  body: Buffer
  /** The body came whole. */
  whole: boolean
}

/** A plain response: Date and Content-Length are added unless `fields` has them, or null in their place. */
export interface PlainAnswer {
  readonly status?: number
  readonly fields?: FieldValues
  readonly body?: string | Buffer
}

/** Runs when the head of the request has come; what it returns is of no interest. */
export type Script = (wire: Wire, request: OriginRequest) => unknown
export type Answer = PlainAnswer | Script

/**
 * An origin on a plain socket that can say anything. Answers are given per path; the last one of a path repeats. It
 * remembers every request.
 */
export class ScriptedOrigin {
  readonly requests: OriginRequest[] = []
  readonly clock: HandClock
  port = 0
  readonly #answers = new Map<string, Answer[]>()
  #otherwise: Answer | undefined
  readonly #secure: boolean
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #conditions = new Conditions()

  /** With a certificate it speaks TLS. */
  constructor(clock: HandClock, certificate?: CertificatePair) {
    this.clock = clock
    this.#secure = certificate !== undefined
    const serve = (socket: Socket) => this.#serve(socket)
    this.#server =
      certificate === undefined
        ? createServer({ noDelay: true, allowHalfOpen: true }, serve)
        : createTlsServer({ cert: certificate.certPem, key: certificate.keyPem }, serve)
    // A client that does not like the certificate.
    this.#server.on('tlsClientError', () => {})
  }

  get url(): string {
    return `${this.#secure ? 'https' : 'http'}://127.0.0.1:${this.port}`
  }

  /** `where`: a path, or a whole target with its query. */
  answers(where: string, ...answers: Answer[]): this {
    this.#answers.set(where, answers)
    return this
  }

  /** For every path without an answer of its own. */
  answersElse(answer: Answer): this {
    this.#otherwise = answer
    return this
  }

  /** Requests for a path or a target; of all without one. */
  asked(where?: string): number {
    return this.requestsFor(where).length
  }

  requestsFor(where?: string): OriginRequest[] {
    return this.requests.filter(({ target }) => where === undefined || matches(target, where))
  }

  get lastRequest(): OriginRequest {
    const last = this.requests.at(-1)
    if (last === undefined) throw new Error('The origin has not been asked anything.')
    return last
  }

  until(condition: () => boolean): Promise<void> {
    return this.#conditions.until(condition)
  }

  /** For scripts that see something themselves: those who wait for it look again. */
  noticed(): void {
    this.#conditions.changed()
  }

  /** Resolves when the origin has been asked so often. */
  untilAsked(times: number, where?: string): Promise<void> {
    return this.until(() => this.asked(where) >= times)
  }

  async listen(port = 0): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    // A server that listens on TCP has an address with a port.
    this.port = (this.#server.address() as AddressInfo).port
  }

  /** From now on connections are refused, and those that are open are gone. */
  async close(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Resets are what some tests are about; the proxy's side of them is what is looked at.
    socket.on('error', () => {})
    let current: OriginRequest | undefined
    const reader = new MessageReader(
      {
        onHead: (head) => {
          current = this.#asked(head, socket)
        },
        onBody: (chunk) => {
          if (current !== undefined) current.body = Buffer.concat([current.body, chunk])
          this.#conditions.changed()
        },
        onEnd: () => {
          if (current !== undefined) current.whole = true
          this.#conditions.changed()
        },
      },
      ({ fields }) => framingByFields(fields, 'none'),
    )
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
    socket.on('end', () => socket.end())
  }

  #asked(head: MessageHead, socket: Socket): OriginRequest {
    const [method, target] = head.startLine.split(' ')
    const { fields, text } = head
    const request = { method, target, fields, head: text, body: Buffer.alloc(0), whole: false }
    this.requests.push(request)
    const answer = this.#take(target)
    const wire = new Wire(socket, this.clock, method)
    if (typeof answer === 'function') answer(wire, request)
    else wire.answer(answer)
    this.#conditions.changed()
    return request
  }

  #take(target: string): Answer {
    const path = target.split('?')[0]
    const answers = this.#answers.get(target) ?? this.#answers.get(path)
    if (answers === undefined || answers.length === 0) {
      return this.#otherwise ?? { status: 599, body: `Nothing is scripted for ${target}.` }
    }
    return answers.length > 1 ? (answers.shift() ?? {}) : answers[0]
  }
}

/** The connection on which an answer is due. */
export class Wire {
  readonly socket: Socket
  readonly #clock: HandClock
  readonly #method: string

  constructor(socket: Socket, clock: HandClock, method: string) {
    this.socket = socket
    this.#clock = clock
    this.#method = method
  }

  answer({ status = 200, fields = {}, body = '' }: PlainAnswer): this {
    const bytes = Buffer.from(body)
    this.head(status, { 'Content-Length': contentLength(status, bytes), ...canonical(fields) })
    return this.#method === 'HEAD' || status === 304 ? this : this.write(bytes)
  }

  /** A head without framing of its own; Date unless given. */
  head(status: number, fields: FieldValues = {}): this {
    const lines = fieldLines({ Date: this.#clock.date(), ...canonical(fields) })
    const text = `HTTP/1.1 ${status} Scripted\r\n${lines.join('\r\n')}\r\n\r\n`
    return this.write(Buffer.from(text, 'latin1'))
  }

  interim(status: number, fields: FieldValues = {}): this {
    const lines = fieldLines(fields).map((line) => `${line}\r\n`)
    return this.write(`HTTP/1.1 ${status} Interim\r\n${lines.join('')}\r\n`)
  }

  chunk(bytes: string | Buffer): this {
    const { length } = Buffer.from(bytes)
    return this.write(`${length.toString(16)}\r\n`)
      .write(bytes)
      .write('\r\n')
  }

  lastChunk(trailers: FieldValues = {}): this {
    const lines = fieldLines(trailers).map((line) => `${line}\r\n`)
    return this.write(`0\r\n${lines.join('')}\r\n`)
  }

  write(bytes: string | Buffer): this {
    if (this.socket.writable) {
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes)
    }
    return this
  }

  /** Cuts the connection: FIN without whatever TLS says at the end. */
  cut(): void {
    this.socket.destroySoon()
  }

  /** Ends the connection in order. */
  end(): void {
    this.socket.end()
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }
}

export async function startScriptedOrigin(
  t: Test,
  clock: HandClock,
  certificate?: CertificatePair,
): Promise<ScriptedOrigin> {
  const origin = new ScriptedOrigin(clock, certificate)
  await origin.listen()
  t.teardown(() => origin.close())
  return origin
}

function matches(target: string, where: string): boolean {
  return target === where || (!where.includes('?') && target.split('?')[0] === where)
}

/** Names as the defaults are written, so that a test overrides them in any letter case. */
function canonical(fields: FieldValues): FieldValues {
  const known = new Map([
    ['date', 'Date'],
    ['content-length', 'Content-Length'],
  ])
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [known.get(name.toLowerCase()) ?? name, value]),
  )
}

function contentLength(status: number, body: Buffer): string | null {
  return status === 204 || status === 304 ? null : String(body.length)
}

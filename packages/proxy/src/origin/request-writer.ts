import type { Socket } from 'node:net'
import type { Fields } from '../http/fields.ts'
import type { BodySink, RequestBody } from '../transport/exchange.ts'
import type { OriginRequest } from './origin-fetch.ts'

/** Methods whose meaning anticipates content: without any they say so (RFC 9110 §8.6). */
const WITH_CONTENT: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])

/**
 * The head of a request with exactly one framing (RFC 9112 §6): a declared length, chunks, or none. No body ever goes
 * out without framing, whatever its method: what the origin would take for the next request is smuggling.
 */
export function writeRequestHead(request: OriginRequest, authority: string): string {
  const { fields, body, method } = request
  let head = `${method} ${request.target} HTTP/1.1\r\n`
  if (!fields.has('host')) head += `host: ${authority}\r\n`
  const { list } = fields
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== 'content-length') head += `${list[i]}: ${list[i + 1]}\r\n`
  }
  if (body !== null) {
    head +=
      body.length === undefined
        ? 'transfer-encoding: chunked\r\n'
        : `content-length: ${body.length}\r\n`
  } else if (WITH_CONTENT.has(method)) head += 'content-length: 0\r\n'
  return `${head}\r\n`
}

/** Told how a request body gets on. */
export interface RequestWriterHost {
  /** The origin takes no more for now. */
  blocked(): void
  /** It does again. */
  moving(): void
  /** The whole body is written, or never will be. */
  bodyEnded(complete: boolean): void
}

/** Moves a request body to the origin, as fast as the slower of the two sides. */
export class RequestWriter implements BodySink {
  /** The whole body is written. */
  done = false
  readonly #socket: Socket
  readonly #body: RequestBody
  readonly #host: RequestWriterHost
  readonly #chunked: boolean
  #blocked = false
  #abandoned = false

  constructor(socket: Socket, body: RequestBody, host: RequestWriterHost) {
    this.#socket = socket
    this.#body = body
    this.#host = host
    this.#chunked = body.length === undefined
  }

  start(): void {
    this.#body.consume(this)
  }

  onChunk(chunk: Buffer): void {
    // An empty chunk would say that the body ends here.
    if (this.#abandoned || chunk.length === 0) return
    if (this.#write(chunk) || this.#blocked) return
    this.#blocked = true
    this.#host.blocked()
    this.#body.pause()
    this.#socket.once('drain', () => {
      this.#blocked = false
      if (this.#abandoned) return
      this.#host.moving()
      this.#body.resume()
    })
  }

  #write(chunk: Buffer): boolean {
    const socket = this.#socket
    if (!this.#chunked) return socket.write(chunk)
    socket.cork()
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
    socket.write(chunk)
    const more = socket.write('\r\n', 'latin1')
    socket.uncork()
    return more
  }

  onEnd(trailers: Fields | null): void {
    if (this.#abandoned) return
    this.done = true
    if (this.#chunked) {
      let end = '0\r\n'
      for (const [name, value] of trailers ?? []) end += `${name}: ${value}\r\n`
      this.#socket.write(`${end}\r\n`, 'latin1')
    }
    this.#host.bodyEnded(true)
  }

  onAbort(): void {
    if (this.#abandoned) return
    this.#abandoned = true
    this.#host.bodyEnded(false)
  }

  /** Nobody needs the rest of the body: it is taken from the client and thrown away. */
  abandon(): void {
    if (this.#abandoned || this.done) return
    this.#abandoned = true
    this.#body.resume()
  }
}

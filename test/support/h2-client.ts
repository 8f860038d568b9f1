import { type ClientHttp2Session, connect } from 'node:http2'
import { Fields } from '../../packages/proxy/src/http/fields.ts'
import { type Client, ClientExchange, type RequestSpec } from './client.ts'

/** Newer than its type: without it some fields could have one line only. */
const ANY_LINES = { rejectUnauthorized: false, strictSingleValueFields: false }

/** HTTP/2 over TLS: every request is a stream of one connection. */
export class Http2Client implements Client {
  readonly protocol = 'h2'
  readonly #port: number
  #session: ClientHttp2Session | null = null

  constructor(port: number) {
    this.#port = port
  }

  open(spec: RequestSpec): ClientExchange {
    const { method = 'GET', path, fields = {}, body, host = '127.0.0.1' } = spec
    const exchange = new ClientExchange()
    const lines = [':method', method, ':path', path, ':scheme', 'https']
    lines.push(':authority', `${host}:${this.#port}`)
    for (const [name, value] of Object.entries(fields)) {
      if (value === null) continue
      for (const one of typeof value === 'string' ? [value] : value) {
        lines.push(name.toLowerCase(), one)
      }
    }
    if (body !== undefined) lines.push('content-length', String(Buffer.byteLength(body)))
    const stream = this.#connected().request(lines, { endStream: body === undefined })
    stream.on('headers', (_, __, raw: string[]) => {
      const [status, interim] = section(raw)
      exchange.interim.push({ status, fields: interim })
      exchange.conditions.changed()
    })
    stream.on('response', (_, __, raw: string[]) => {
      const [status, received] = section(raw)
      exchange.status = status
      exchange.fields = received
      exchange.conditions.changed()
    })
    stream.on('trailers', (_, __, raw: string[]) => {
      exchange.trailers = section(raw)[1]
    })
    stream.on('data', (chunk: Buffer) => {
      exchange.chunks.push(chunk)
      exchange.conditions.changed()
    })
    stream.on('error', () => exchange.broken())
    stream.on('close', () => {
      if (stream.rstCode === 0 && exchange.status !== 0) exchange.finished()
      else exchange.broken()
    })
    exchange.leave = () => stream.close(8) // CANCEL (RFC 9113 §7)
    exchange.pause = () => void stream.pause()
    exchange.resume = () => void stream.resume()
    exchange.sendBody = () => void (body !== undefined && stream.end(body))
    if (spec.holdBody !== true) exchange.sendBody()
    return exchange
  }

  #connected(): ClientHttp2Session {
    if (this.#session !== null && !this.#session.destroyed) return this.#session
    const session = connect(`https://127.0.0.1:${this.#port}`, ANY_LINES)
    // Streams report what happens to them.
    session.on('error', () => {})
    this.#session = session
    return session
  }

  close(): void {
    this.#session?.destroy()
  }
}

/** Status and fields of a raw section, in which names and values alternate. */
function section(raw: readonly string[]): [number, Fields] {
  const fields = new Fields()
  let status = 0
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i] === ':status') status = Number(raw[i + 1])
    else if (!raw[i].startsWith(':')) fields.add(raw[i].toLowerCase(), raw[i + 1])
  }
  return [status, fields]
}

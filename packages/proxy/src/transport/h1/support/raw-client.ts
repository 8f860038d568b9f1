import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A client that sends any octets and keeps all that comes back. */
export class RawClient {
  readonly socket: Socket
  received = ''
  ended = false
  reset = false
  closed = false
  #watchers: (() => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1')
      this.#changed()
    })
    socket.on('end', () => {
      this.ended = true
      this.#changed()
    })
    socket.on('error', () => {
      this.reset = true
    })
    socket.on('close', () => {
      this.closed = true
      this.#changed()
    })
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
    return this
  }

  /** Resolves when `condition` holds, rejects when the connection is over without it. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (condition()) resolve()
        else if (this.closed) reject(new Error(`closed; received ${JSON.stringify(this.received)}`))
        else this.#watchers.push(check)
      }
      check()
    })
  }

  async receive(text: string): Promise<string> {
    await this.until(() => this.received.includes(text))
    return this.received
  }

  /** All that came until the server closed its side; closes ours as well. */
  async rest(): Promise<string> {
    await this.until(() => this.ended || this.closed)
    this.socket.destroy()
    return this.received
  }

  #changed(): void {
    const watchers = this.#watchers
    this.#watchers = []
    for (const watcher of watchers) watcher()
  }
}

/** Sends octets on a connection of its own and returns all of the answer. */
export async function exchangeRaw(port: number, octets: string): Promise<string> {
  const client = await RawClient.connect(port)
  return client.send(octets).rest()
}

export interface RawResponse {
  status: number
  fields: Map<string, string>
  body: string
}

/** Reads a sequence of responses strictly; throws at anything that is not one. `methods` tells which have no body. */
export function parseResponses(text: string, methods: string[] = []): RawResponse[] {
  const responses: RawResponse[] = []
  let rest = text
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n')
    const [line, ...lines] = rest.slice(0, end).split('\r\n')
    const match = /^HTTP\/1\.1 ([1-5][0-9][0-9]) [ -~]*$/.exec(line)
    if (end < 0 || match === null) throw new Error(`no response: ${JSON.stringify(rest)}`)
    const fields = new Map<string, string>()
    for (const field of lines) {
      const colon = field.indexOf(': ')
      if (colon <= 0) throw new Error(`no field: ${field}`)
      fields.set(field.slice(0, colon).toLowerCase(), field.slice(colon + 2))
    }
    const status = Number(match[1])
    rest = rest.slice(end + 4)
    let body = ''
    const finals = responses.filter((response) => response.status >= 200).length
    const bodyless = status < 200 || status === 204 || status === 304 || methods[finals] === 'HEAD'
    const length = fields.get('content-length')
    if (bodyless) body = ''
    else if (length !== undefined) {
      body = rest.slice(0, Number(length))
      if (body.length !== Number(length)) throw new Error('the response is cut short')
      rest = rest.slice(body.length)
    } else if (fields.get('transfer-encoding') === 'chunked') {
      for (;;) {
        const size = /^([0-9a-f]+)\r\n/.exec(rest)
        if (size === null) throw new Error(`no chunk: ${JSON.stringify(rest)}`)
        rest = rest.slice(size[0].length)
        const bytes = Number.parseInt(size[1], 16)
        if (bytes === 0) break
        body += rest.slice(0, bytes)
        if (rest.slice(bytes, bytes + 2) !== '\r\n') throw new Error('a chunk is cut short')
        rest = rest.slice(bytes + 2)
      }
      for (let at = rest.indexOf('\r\n'); ; at = rest.indexOf('\r\n')) {
        if (at < 0) throw new Error('the trailers are cut short')
        const trailer = rest.slice(0, at)
        rest = rest.slice(at + 2)
        if (trailer === '') break
        fields.set(`trailer:${trailer.split(': ')[0]}`, trailer.split(': ')[1])
      }
    } else {
      body = rest
      rest = ''
    }
    responses.push({ status, fields, body })
  }
  return responses
}

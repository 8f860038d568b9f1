import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A request as it stands on the wire. */
export interface LiteralRequest {
  readonly line: string
  /** Names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * An origin that takes what it gets by the letter: it notes every complete request, and every octet that another
 * origin could understand in another way.
 */
export class LiteralOrigin {
  readonly requests: LiteralRequest[] = []
  /** What was not clear. */
  readonly faults: string[] = []
  /** All octets, connection by connection. */
  readonly received: string[] = []
  port = 0

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get lines(): string[] {
    return this.requests.map(({ line }) => line)
  }

  forget(): void {
    for (const list of [this.requests, this.faults, this.received]) list.length = 0
  }

  serve(socket: Socket): void {
    const index = this.received.push('') - 1
    let unread = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1')
      this.received[index] = (this.received[index] ?? '') + text
      unread += text
      for (;;) {
        const taken = this.#take(unread)
        if (taken === 0) break
        unread = unread.slice(taken)
        const body = `served ${this.requests.at(-1)?.line}`
        socket.write(
          `HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: ${body.length}\r\n\r\n${
            this.requests.at(-1)?.line.startsWith('HEAD ') ? '' : body
          }`,
        )
      }
    })
  }

  /** Octets of the request at the beginning of the text; 0 while it is not whole. */
  #take(text: string): number {
    const end = text.indexOf('\r\n\r\n')
    if (end < 0) return 0
    const [line, ...lines] = text.slice(0, end).split('\r\n')
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP\/1\.1$/.test(line)) {
      this.faults.push(`request line ${JSON.stringify(line)}`)
    }
    const fields = lines.map((text): [string, string] => {
      const colon = text.indexOf(':')
      const name = text.slice(0, colon)
      const value = text.slice(colon + 1).trim()
      if (!TOKEN.test(name) || !VALUE.test(value)) {
        this.faults.push(`field ${JSON.stringify(text)}`)
      }
      return [name.toLowerCase(), value]
    })
    const values = (name: string) => fields.filter((field) => field[0] === name)
    const lengths = values('content-length')
    const codings = values('transfer-encoding')
    if (values('host').length !== 1) this.faults.push(`${values('host').length} Host`)
    if (lengths.length + codings.length > 1) this.faults.push('framed twice')
    if (codings.length > 0 && codings[0][1] !== 'chunked') this.faults.push(`coding ${codings}`)
    if (lengths.length > 0 && !/^\d+$/.test(lengths[0][1])) this.faults.push(`length ${lengths}`)
    const rest = text.slice(end + 4)
    const body = codings.length > 0 ? takeChunks(rest) : takeBytes(rest, Number(lengths[0]?.[1]))
    if (body === null) return 0
    this.requests.push({ line, fields, body: body.content })
    return end + 4 + body.taken
  }
}

interface TakenBody {
  readonly content: string
  readonly taken: number
}

function takeBytes(text: string, length: number): TakenBody | null {
  const taken = Number.isNaN(length) ? 0 : length
  return text.length < taken ? null : { content: text.slice(0, taken), taken }
}

function takeChunks(text: string): TakenBody | null {
  let content = ''
  let at = 0
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/.exec(text.slice(at))
    if (size === null) return null
    at += size[0].length
    const bytes = Number.parseInt(size[1], 16)
    if (bytes === 0) break
    if (text.length < at + bytes + 2) return null
    content += text.slice(at, at + bytes)
    at += bytes + 2
  }
  const trailers = /^(?:[^\r\n]+\r\n)*\r\n/.exec(text.slice(at))
  return trailers === null ? null : { content, taken: at + trailers[0].length }
}

export async function startLiteralOrigin(t: Test): Promise<LiteralOrigin> {
  const origin = new LiteralOrigin()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    origin.serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on TCP has an address with a port.
  origin.port = (server.address() as AddressInfo).port
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return origin
}

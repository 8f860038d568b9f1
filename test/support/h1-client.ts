import { connect, type Socket } from 'node:net'
import { type Client, ClientExchange, type RequestSpec } from './client.ts'
import {
  type FieldValues,
  fieldLines,
  framingByFields,
  type MessageHead,
  MessageReader,
} from './message-reader.ts'

/** HTTP/1.1 on a plain socket: one connection for each request. */
export class Http1Client implements Client {
  readonly protocol = 'h1'
  readonly #port: number
  readonly #sockets = new Set<Socket>()

  constructor(port: number) {
    this.#port = port
  }

  open(spec: RequestSpec): ClientExchange {
    const { method = 'GET', path, fields = {}, body, host = '127.0.0.1' } = spec
    const exchange = new ClientExchange()
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    const reader = readerFor(exchange, method)
    socket.on('data', (chunk: Buffer) => {
      if (exchange.complete) exchange.surplus = Buffer.concat([exchange.surplus, chunk])
      else reader.push(chunk)
      if (exchange.complete) {
        exchange.surplus = Buffer.concat([exchange.surplus, reader.surplus])
        socket.end()
      }
      exchange.conditions.changed()
    })
    socket.on('end', () => {
      if (!exchange.complete) reader.close()
      exchange.broken()
    })
    socket.on('error', () => exchange.broken())
    socket.on('close', () => {
      this.#sockets.delete(socket)
      exchange.broken()
    })
    // A reset: a FIN alone would say that the client still waits for its answer.
    exchange.leave = () => void socket.resetAndDestroy()
    exchange.pause = () => void socket.pause()
    exchange.resume = () => void socket.resume()
    this.#sockets.add(socket)
    socket.write(requestHead(method, path, `${host}:${this.#port}`, fields, body), 'latin1')
    exchange.sendBody = () => void (body !== undefined && socket.write(body))
    if (spec.holdBody !== true) exchange.sendBody()
    return exchange
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

function requestHead(
  method: string,
  path: string,
  host: string,
  fields: FieldValues,
  body: string | Buffer | undefined,
): string {
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...fieldLines(fields), ...length]
  return `${lines.join('\r\n')}\r\n\r\n`
}

function readerFor(exchange: ClientExchange, method: string): MessageReader {
  const isInterim = (head: MessageHead) => statusOf(head) < 200
  return new MessageReader(
    {
      onHead: (head) => {
        const { fields } = head
        if (isInterim(head)) exchange.interim.push({ status: statusOf(head), fields })
        else {
          exchange.status = statusOf(head)
          exchange.fields = fields
        }
      },
      onBody: (chunk) => exchange.chunks.push(Buffer.from(chunk)),
      onEnd: (trailers) => {
        if (exchange.status === 0) return
        exchange.trailers = trailers
        exchange.finished()
      },
    },
    (head) => {
      const status = statusOf(head)
      const empty = status < 200 || status === 204 || status === 304 || method === 'HEAD'
      return empty ? 'none' : framingByFields(head.fields, 'close')
    },
  )
}

function statusOf(head: MessageHead): number {
  return Number(head.startLine.split(' ')[1])
}

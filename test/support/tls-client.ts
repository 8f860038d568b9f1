import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { request as requestHttp } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { Agent, request } from 'node:https'
import type { ConnectionOptions } from 'node:tls'

export interface TlsAnswer {
  /** 0 when there was none. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Code of the error in place of an answer. */
  readonly error: string
  /** What the connection may be resumed with. */
  readonly session: Buffer | undefined
  readonly resumed: boolean
}

export interface TlsRequest {
  readonly host: string
  readonly path?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** SNI when it is not the host. */
  readonly servername?: string
}

const NOTHING = { status: 0, headers: {}, body: '', session: undefined, resumed: false }

/** One request by HTTP/1.1 over TLS, on a connection of its own. */
export async function ask(
  port: number,
  { host, path = '/', method = 'GET', headers = {}, servername = host }: TlsRequest,
  tls: ConnectionOptions = {},
): Promise<TlsAnswer> {
  const agent = new Agent({ maxCachedSessions: 0 })
  const options = { ...tls, port, host: '127.0.0.1', servername, path, method, agent }
  const sent = request({
    ...options,
    rejectUnauthorized: false,
    headers: { host, connection: 'close', ...headers },
  })
  let session: Buffer | undefined
  let resumed = false
  sent.on('socket', (socket) => {
    socket.on('session', (ticket: Buffer) => {
      session = ticket
    })
    socket.on('secureConnect', () => {
      // An https agent makes TLS sockets.
      resumed = (socket as import('node:tls').TLSSocket).isSessionReused()
    })
  })
  sent.end()
  try {
    const [response] = await once(sent, 'response')
    let body = ''
    for await (const chunk of response) body += chunk
    const { statusCode, headers } = response
    return { status: statusCode, headers, body, error: '', session, resumed }
  } catch (error) {
    return { ...NOTHING, error: String((error as NodeJS.ErrnoException).code) }
  } finally {
    agent.destroy()
  }
}

/** Requests by HTTP/2 on one connection. */
export function http2Client(port: number, servername: string, tls: ConnectionOptions = {}) {
  const session = connectHttp2(`https://127.0.0.1:${port}`, {
    ...tls,
    servername,
    rejectUnauthorized: false,
  })
  session.on('error', () => {})
  return {
    async ask(host: string, path = '/', headers: Readonly<Record<string, string>> = {}) {
      const stream = session.request({ ':authority': host, ':path': path, ...headers })
      let body = ''
      stream.on('data', (chunk) => {
        body += chunk
      })
      // Both may come in one frame.
      const [[fields]] = await Promise.all([once(stream, 'response'), once(stream, 'end')])
      return { status: Number(fields[':status']), headers: fields, body }
    },
    close: () => session.destroy(),
  }
}

/** One request by plain HTTP. */
export async function askPlainly(
  port: number,
  { host, path = '/', method = 'GET', headers = {} }: TlsRequest,
) {
  const sent = requestHttp({
    port,
    host: '127.0.0.1',
    path,
    method,
    agent: false,
    headers: { host, ...headers },
  })
  sent.end()
  const [response] = await once(sent, 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  return {
    status: Number(response.statusCode),
    headers: response.headers as IncomingHttpHeaders,
    body,
  }
}

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { CLIENT_PREFACE } from '../../packages/proxy/src/transport/h2/frame.ts'
import { block, type Line } from '../../packages/proxy/src/transport/h2/test-support/block.ts'
import {
  headers,
  SETTINGS_ACK,
  settings,
  windowUpdate,
} from '../../packages/proxy/src/transport/h2/test-support/raw-client.ts'
import type { Way } from './traffic.ts'

/** Clients that ask and then read nothing: what the proxy holds for each of them is what is measured. */

const LARGEST_WINDOW_BYTES = 0x7fff_ffff
const INITIAL_WINDOW_SIZE = 4

/** Connected, its handshakes done, and one small answer read. */
export async function openReader(way: Way, port: number, path: string): Promise<Socket> {
  const socket =
    way === 'http1'
      ? connect(port, '127.0.0.1')
      : connectTls({
          port,
          host: '127.0.0.1',
          servername: 'a.test',
          rejectUnauthorized: false,
          ALPNProtocols: [way === 'http2' ? 'h2' : 'http/1.1'],
        })
  // A cut at the end of the test is no failure of it.
  socket.on('error', () => {})
  await once(socket, way === 'http1' ? 'connect' : 'secureConnect')
  if (way === 'http2') {
    socket.write(CLIENT_PREFACE)
    socket.write(settings([INITIAL_WINDOW_SIZE, LARGEST_WINDOW_BYTES]))
    socket.write(windowUpdate(0, LARGEST_WINDOW_BYTES - 65_535))
  }
  ask(socket, way, path, 1)
  await once(socket, 'data')
  socket.pause()
  return socket
}

/** `number`: 1 for the first request of the connection, 2 for the second. */
export function ask(socket: Socket, way: Way, path: string, number: number): void {
  if (way !== 'http2') {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    return
  }
  if (number > 1) socket.write(SETTINGS_ACK)
  const lines: Line[] = [
    [':method', 'GET'],
    [':scheme', 'https'],
    [':path', path],
    [':authority', 'a.test'],
  ]
  socket.write(headers(2 * number - 1, block(lines)))
}

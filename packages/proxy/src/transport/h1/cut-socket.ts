import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

/**
 * A reset tells even a client that reads until the connection closes. Underneath TLS it must not be used: there, the
 * missing close_notify tells (and Node 26 crashes).
 */
export function cutSocket(socket: Duplex): void {
  if (socket instanceof Socket && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
  else socket.destroy()
}

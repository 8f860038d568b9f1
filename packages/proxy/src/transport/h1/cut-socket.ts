import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

/**
 * A reset tells even a client that reads until the connection closes. Underneath TLS it must not be used: there, the
 * missing close_notify tells (and Node 26 crashes).
 */
export function cutSocket(socket: Duplex): void {
  // Only TCP can be reset: a socket of the machine has no remote address, and closing it is all there is.
  const isTcp = socket instanceof Socket && socket.remoteAddress !== undefined
  if (isTcp && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
  else socket.destroy()
}

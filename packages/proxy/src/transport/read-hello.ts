import type { Socket } from 'node:net'
import { type ClientHello, parseClientHello } from './client-hello.ts'

/** The same, once it is decided. */
export type WholeHello = Exclude<ClientHello, { readonly kind: 'more' }>

/**
 * Reads a connection's ClientHello and puts its octets back. `done` comes once and never when the client leaves before;
 * whoever calls bounds the time by destroying the socket.
 */
export function readHello(socket: Socket, done: (hello: WholeHello) => void): void {
  let received: Buffer | null = null
  const onReadable = () => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return
    received = received === null ? chunk : Buffer.concat([received, chunk])
    const hello = parseClientHello(received)
    if (hello.kind === 'more') return
    // Off first: who takes the socket over listens in another mode.
    socket.off('readable', onReadable)
    socket.off('end', onEnd)
    socket.unshift(received)
    done(hello)
  }
  const onEnd = () => socket.destroy()
  socket.on('readable', onReadable)
  socket.on('end', onEnd)
}

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
  // A flowing stream hands a chunk over as it comes; 'readable' would take several turns for each connection.
  const onData = (chunk: Buffer) => {
    received = received === null ? chunk : Buffer.concat([received, chunk])
    const hello = parseClientHello(received)
    if (hello.kind === 'more') return
    // Off first: who takes the socket over listens in another mode.
    socket.off('data', onData)
    socket.off('end', onEnd)
    socket.pause()
    socket.unshift(received)
    done(hello)
  }
  const onEnd = () => socket.destroy()
  socket.on('data', onData)
  socket.on('end', onEnd)
}

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A link to a TCP server on this machine that can be made slow, narrow, or cut. */
export class SlowLink {
  /** Each way, from now on. */
  delayMs = 0
  /** Of what the server sends; 0 = as it comes. */
  bytesPerSecond = 0
  port = 0
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((socket) => this.#join(socket))

  constructor(targetPort: number) {
    this.#target = targetPort
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get connections(): number {
    return this.#sockets.size / 2
  }

  async listen(): Promise<this> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    // A server that listens on TCP has an address with a port.
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #join(near: Socket): void {
    const far = connect({ port: this.#target, host: '127.0.0.1', noDelay: true })
    near.setNoDelay(true)
    this.#carry(near, far, false)
    this.#carry(far, near, true)
  }

  #carry(from: Socket, to: Socket, narrow: boolean): void {
    this.#sockets.add(from)
    // The link itself is never the one that complains.
    from.on('error', () => {})
    from.on('close', () => {
      this.#sockets.delete(from)
      to.destroy()
    })
    let free = performance.now()
    from.on('data', (chunk: Buffer) => {
      const now = performance.now()
      free = Math.max(free, now)
      if (narrow && this.bytesPerSecond > 0) free += (chunk.length / this.bytesPerSecond) * 1000
      const waitMs = free - now + this.delayMs
      if (waitMs < 1) to.write(chunk)
      else setTimeout(() => to.write(chunk), waitMs).unref()
    })
  }
}

export async function slowLinkTo(t: Test, port: number): Promise<SlowLink> {
  const link = await new SlowLink(port).listen()
  t.teardown(() => link.close())
  return link
}

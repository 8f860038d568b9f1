import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** True = the server's message does not reach the client. */
export type Drop = (message: string) => boolean

/** A link to a Redis server that takes single messages out of what the server sends. */
export class FilteringLink {
  port = 0
  drop: Drop = () => false
  dropped = 0
  #isCut = false
  #isFrozen = false
  readonly #sockets = new Set<Socket>()
  readonly #target: number
  readonly #server = createServer((socket) => this.#join(socket))

  constructor(targetPort: number) {
    this.#target = targetPort
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    // A server that listens on TCP has an address with a port.
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  close(): void {
    this.#server.close()
    this.cut()
  }

  /** Ends every connection, and every new one, until it is mended. */
  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Nothing comes through, and no connection ends; when it is mended, all of it comes. */
  freeze(): void {
    this.#isFrozen = true
    for (const socket of this.#sockets) socket.pause()
  }

  mend(): void {
    this.#isCut = false
    this.#isFrozen = false
    for (const socket of this.#sockets) socket.resume()
  }

  #join(near: Socket): void {
    if (this.#isCut) {
      near.destroy()
      return
    }
    const far = connect({ port: this.#target, host: '127.0.0.1', noDelay: true })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      this.#sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    near.on('data', (chunk: Buffer) => far.write(chunk))
    let rest = ''
    far.on('data', (chunk: Buffer) => {
      rest += chunk.toString('latin1')
      for (;;) {
        const end = endOfReply(rest, 0)
        if (end === undefined) return
        const reply = rest.slice(0, end)
        rest = rest.slice(end)
        if (this.drop(reply)) this.dropped++
        else near.write(Buffer.from(reply, 'latin1'))
      }
    })
    if (this.#isFrozen) for (const socket of [near, far]) socket.pause()
  }
}

/** Where the RESP value that begins here ends; undefined when it is not all there. */
function endOfReply(text: string, start: number): number | undefined {
  const line = text.indexOf('\r\n', start)
  if (line < 0) return undefined
  const count = Number(text.slice(start + 1, line))
  const next = line + 2
  switch (text[start]) {
    case '$':
    case '=':
    case '!':
      if (count < 0) return next
      return next + count + 2 <= text.length ? next + count + 2 : undefined
    case '*':
    case '>':
    case '~':
      return endOfItems(text, next, count)
    case '%':
    case '|':
      return endOfItems(text, next, count * 2)
    default:
      return next
  }
}

function endOfItems(text: string, start: number, count: number): number | undefined {
  let end: number | undefined = start
  for (let i = 0; i < count && end !== undefined; i++) end = endOfReply(text, end)
  return end
}

export async function filteringLinkTo(t: Test, port: number): Promise<FilteringLink> {
  const link = await new FilteringLink(port).listen()
  t.teardown(() => link.close())
  return link
}

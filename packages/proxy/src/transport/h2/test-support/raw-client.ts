import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { CLIENT_PREFACE, ERROR, FLAG, FRAME, readUint31, readUint32 } from '../frame.ts'
import { HpackDecoder } from '../hpack-decoder.ts'

/** A frame as it came from the server. */
export interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

const EMPTY = Buffer.alloc(0)

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Buffer = EMPTY,
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

export function headers(streamId: number, block: Buffer, endStream = true): Buffer {
  return frame(FRAME.headers, FLAG.endHeaders | (endStream ? FLAG.endStream : 0), streamId, block)
}

export function data(streamId: number, content: string | Buffer, endStream = false): Buffer {
  return frame(FRAME.data, endStream ? FLAG.endStream : 0, streamId, Buffer.from(content))
}

export function uint32(...values: number[]): Buffer {
  const payload = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) payload.writeUInt32BE(value, i * 4)
  return payload
}

export function settings(...pairs: [id: number, value: number][]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6)
  pairs.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * 6)
    payload.writeUInt32BE(value, i * 6 + 2)
  })
  return frame(FRAME.settings, 0, 0, payload)
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return frame(FRAME.windowUpdate, 0, streamId, uint32(increment))
}

export function resetStream(streamId: number, code: number = ERROR.cancel): Buffer {
  return frame(FRAME.resetStream, 0, streamId, uint32(code))
}

export const SETTINGS_ACK: Buffer = frame(FRAME.settings, FLAG.ack, 0)

/** A response, as far as it came. */
export interface RawResponse {
  readonly informed: string[][]
  readonly head: Map<string, string>
  readonly status: number
  readonly body: Buffer
  readonly trailers: Map<string, string> | null
}

/** A client that sends what a library would refuse to send. It reads frames and keeps all of them. */
export class RawClient {
  readonly frames: Frame[] = []
  readonly socket: Duplex
  readonly ended: Promise<unknown>
  #rest = EMPTY
  #waiting: (() => void) | null = null
  #over = false
  readonly #decoder = new HpackDecoder()
  readonly #sections: { streamId: number; lines: [string, string][] }[] = []

  constructor(socket: Duplex) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
    this.ended = once(socket, 'close').then(() => {
      this.#over = true
      this.#waiting?.()
    })
  }

  /** Connects and sends preface and SETTINGS; `bare` leaves that to the test. */
  static async connect(
    port: number,
    options: { bare?: boolean; tls?: boolean } = {},
  ): Promise<RawClient> {
    const socket =
      options.tls === true
        ? tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false })
        : net.connect(port, '127.0.0.1')
    await once(socket, options.tls === true ? 'secureConnect' : 'connect')
    socket.setNoDelay(true)
    const client = new RawClient(socket)
    if (options.bare !== true) client.send(CLIENT_PREFACE, settings(), SETTINGS_ACK)
    return client
  }

  send(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes))
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** The first frame that `accept` takes, of those that came or will come; fails when the connection ends before. */
  async next(accept: (frame: Frame) => boolean, what = 'a frame'): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(accept)
      if (found !== undefined) return found
      if (this.#over) throw new Error(`The connection ended before ${what} came`)
      await this.#more()
    }
  }

  ofType(type: number, streamId?: number): (frame: Frame) => boolean {
    return (frame) => frame.type === type && (streamId === undefined || frame.streamId === streamId)
  }

  /** Everything that was sent before this call is handled when it resolves. */
  async roundTrip(): Promise<void> {
    const mark = Buffer.alloc(8)
    mark.writeUInt32BE(++this.#pings)
    this.send(frame(FRAME.ping, 0, 0, mark))
    await this.next((f) => f.type === FRAME.ping && f.payload.equals(mark), 'a PING ACK')
  }

  #pings = 0

  /** The error code of the last GOAWAY, after the connection ended. */
  async goaway(): Promise<number> {
    await this.next(this.ofType(FRAME.goaway), 'GOAWAY')
    await this.ended
    const last = this.frames.findLast(this.ofType(FRAME.goaway))
    return last === undefined ? -1 : readUint32(last.payload, 4)
  }

  /** The error code of the RST_STREAM. */
  async reset(streamId: number): Promise<number> {
    const found = await this.next(this.ofType(FRAME.resetStream, streamId), 'RST_STREAM')
    return readUint31(found.payload, 0)
  }

  /** A whole response. */
  async response(streamId: number): Promise<RawResponse> {
    await this.next(
      (f) =>
        f.streamId === streamId &&
        (f.type === FRAME.data || f.type === FRAME.headers) &&
        (f.flags & FLAG.endStream) !== 0,
      `the end of stream ${streamId}`,
    )
    return this.partOfResponse(streamId)
  }

  /** What came of a response. */
  partOfResponse(streamId: number): RawResponse {
    const sections = this.#sections.filter((section) => section.streamId === streamId)
    const statusOf = (lines: [string, string][]) =>
      Number(lines.find(([name]) => name === ':status')?.[1] ?? 0)
    const informed = sections.filter(({ lines }) => statusOf(lines) > 0 && statusOf(lines) < 200)
    const final = sections.find(({ lines }) => statusOf(lines) >= 200)
    const trailers = sections.find(({ lines }) => statusOf(lines) === 0)
    const content = this.frames.filter((f) => f.streamId === streamId && f.type === FRAME.data)
    return {
      informed: informed.map(({ lines }) => lines.map((line) => line.join(': '))),
      head: new Map(final?.lines),
      status: statusOf(final?.lines ?? []),
      body: Buffer.concat(content.map((f) => f.payload)),
      trailers: trailers === undefined ? null : new Map(trailers.lines),
    }
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#waiting
      this.#waiting = () => {
        before?.()
        resolve()
      }
    })
  }

  #read(chunk: Buffer): void {
    let rest = Buffer.concat([this.#rest, chunk])
    while (rest.length >= 9) {
      const end = 9 + rest.readUIntBE(0, 3)
      if (rest.length < end) break
      const payload = rest.subarray(9, end)
      const [type, flags, streamId] = [rest[3], rest[4], readUint31(rest, 5)]
      this.frames.push({ type, flags, streamId, payload })
      if (type === FRAME.headers || type === FRAME.continuation) {
        this.#collect(type, flags, streamId, payload)
      }
      rest = rest.subarray(end)
    }
    this.#rest = rest
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.()
  }

  #fragments: Buffer[] = []

  #collect(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (type === FRAME.headers) this.#fragments = []
    this.#fragments.push(payload)
    if ((flags & FLAG.endHeaders) === 0) return
    const lines: [string, string][] = []
    const block = Buffer.concat(this.#fragments)
    const result = this.#decoder.decode(block, 0, block.length, {
      add: ({ name, value }) => lines.push([name, value]) > 0,
    })
    if (result !== 'done') throw new Error(`The server sent a field block that is ${result}`)
    this.#sections.push({ streamId, lines })
  }
}

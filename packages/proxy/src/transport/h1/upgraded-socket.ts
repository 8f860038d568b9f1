import type { Duplex } from 'node:stream'
import type { InputBuffer } from '../../http/message/input-buffer.ts'
import { Deadline, type TimerWheel } from '../timer-wheel.ts'
import type { OctetSink, UpgradedConnection, UpgradedEnd } from '../upgraded-connection.ts'
import type { Output } from './output.ts'

/** What an upgraded connection needs of the one that it was. */
export interface UpgradeHost {
  readonly output: Output
  /** Cuts the socket and ends the exchange, which comes back as `close`. */
  cut(headSent: boolean): void
  /** Calls the pipeline; if that throws, this connection is cut. */
  guarded(call: () => void): void
}

/** The socket as HTTP leaves it. */
export interface LeftBehind {
  readonly socket: Duplex
  /** What was read behind the request. */
  readonly input: InputBuffer
  /** The client has ended its direction already. */
  readonly inputEnded: boolean
  readonly wheel: TimerWheel
  readonly idleTimeoutMs: number
}

/**
 * Octets both ways on a socket that has left HTTP/1.1. The connection goes on receiving the socket's events and hands
 * them here; the output stays the one in which earlier responses may still wait, so that the order is kept.
 *
 * Reading follows the sink: while it is paused, or not there yet, so is the socket, which then holds one window of its
 * own and no more.
 */
export class UpgradedSocket implements UpgradedConnection {
  readonly protocol: string
  onDrain: (() => void) | null = null
  onClose: ((end: UpgradedEnd) => void) | null = null
  readonly #host: UpgradeHost
  readonly #socket: Duplex
  readonly #input: InputBuffer
  readonly #idle: Deadline
  readonly #deliverSoon: () => void
  #idleTimeoutMs: number
  #sink: OctetSink | null = null
  #paused = false
  #inputEnded: boolean
  #endTold = false
  #blocked = false
  #ending = false
  /** Our end is with the socket. */
  #ended = false
  #closed = false
  #how: UpgradedEnd['how'] | null = null
  #writtenBytes = 0
  #receivedBytes: number

  constructor(protocol: string, host: UpgradeHost, left: LeftBehind) {
    this.protocol = protocol
    this.#host = host
    this.#socket = left.socket
    this.#input = left.input
    this.#inputEnded = left.inputEnded
    this.#receivedBytes = left.input.available
    this.#idleTimeoutMs = left.idleTimeoutMs
    this.#idle = new Deadline(left.wheel, () => this.#giveUp('idle'))
    this.#deliverSoon = () => this.#deliver()
    this.#socket.pause()
    this.#moved()
  }

  consume(sink: OctetSink): void {
    if (this.#sink !== null) throw new Error('An upgraded connection can be consumed once.')
    this.#sink = sink
    process.nextTick(this.#deliverSoon)
  }

  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    process.nextTick(this.#deliverSoon)
  }

  write(chunk: Uint8Array): boolean {
    if (this.#ending || this.#closed) return false
    const { output } = this.#host
    output.append(chunk)
    output.flushSoon()
    this.#writtenBytes += chunk.length
    this.#blocked = output.full
    return !this.#blocked
  }

  end(): void {
    if (this.#ending || this.#closed) return
    this.#ending = true
    this.#endWhenEmpty()
  }

  abort(): void {
    this.#giveUp('aborted')
  }

  setIdleTimeout(ms: number): void {
    if (!(ms > 0 && ms < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`An idle time is a finite number of ms above 0, not ${ms}.`)
    }
    this.#idleTimeoutMs = ms
    if (!this.#closed) this.#moved()
  }

  /** Called by the connection: octets came. */
  receive(chunk: Buffer): void {
    if (this.#closed) return
    this.#moved()
    this.#receivedBytes += chunk.length
    if (this.#flowing && this.#input.available === 0) this.#hand(chunk)
    else this.#input.append(chunk)
  }

  /** Called by the connection: the client has ended its direction. */
  receiveEnd(): void {
    this.#inputEnded = true
    this.#deliver()
  }

  /** Called by the connection: the socket took octets. */
  progressed(): void {
    if (this.#closed) return
    this.#moved()
    if (this.#ending) this.#endWhenEmpty()
    else if (this.#blocked && !this.#host.output.full) {
      this.#blocked = false
      this.#host.guarded(() => this.onDrain?.())
    }
  }

  /** Called by the exchange, once: the connection is over. Tells the pipeline, and returns what it tells. */
  close(): UpgradedEnd {
    const { waitingBytes, writingBytes } = this.#host.output
    const orderly = this.#inputEnded && this.#ended
    const end: UpgradedEnd = {
      how: this.#how ?? (orderly ? 'ended' : 'lost'),
      bytesSent: Math.max(0, this.#writtenBytes - waitingBytes - writingBytes),
      bytesReceived: this.#receivedBytes,
    }
    this.#closed = true
    this.#idle.release()
    this.onDrain = null
    this.#host.guarded(() => this.onClose?.(end))
    return end
  }

  get #flowing(): boolean {
    return this.#sink !== null && !this.#paused && !this.#closed
  }

  /** What waited, then the end or whatever the socket has next. In a turn of its own, or within an event. */
  #deliver(): void {
    const input = this.#input
    if (this.#flowing && input.available > 0) {
      const chunk = input.bytes.subarray(input.start, input.end)
      input.clear()
      this.#hand(chunk)
    }
    if (!this.#inputEnded) {
      if (this.#flowing) this.#socket.resume()
    } else if (input.available === 0) this.#tellEnd()
  }

  #tellEnd(): void {
    if (this.#endTold || this.#sink === null || this.#closed) return
    this.#endTold = true
    this.#host.guarded(() => this.#sink?.onEnd())
    if (this.#ending) this.#endWhenEmpty()
  }

  #hand(chunk: Buffer): void {
    this.#host.guarded(() => this.#sink?.onChunk(chunk))
  }

  #endWhenEmpty(): void {
    const { output } = this.#host
    // Both ends close the socket: ours waits until the sink has had what came before the client's.
    if (this.#ended || this.#closed || (this.#inputEnded && !this.#endTold)) return
    if (!output.empty) {
      output.flushSoon()
      return
    }
    this.#ended = true
    this.#socket.end()
  }

  #moved(): void {
    this.#idle.arm(this.#idleTimeoutMs)
  }

  #giveUp(how: 'idle' | 'aborted'): void {
    if (this.#closed) return
    this.#how = how
    this.#host.cut(true)
  }
}

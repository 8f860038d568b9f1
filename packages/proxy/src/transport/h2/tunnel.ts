import { Deadline } from '../timer-wheel.ts'
import type { OctetSink, UpgradedConnection, UpgradedEnd } from '../upgraded-connection.ts'
import { ERROR } from './frame.ts'
import type { Http2Stream } from './stream.ts'

/** Below this many octets in the stream a writer that was stopped may go on. */
const DRAINED_BYTES = 32 * 1024

/**
 * A stream that extended CONNECT has made a tunnel (RFC 8441 §5): DATA both ways, END_STREAM ends a direction, RST_STREAM
 * cuts both. Windows are its back-pressure, as they are for content.
 */
export class Http2Tunnel implements UpgradedConnection {
  readonly protocol: string
  onDrain: (() => void) | null
  onClose: ((end: UpgradedEnd) => void) | null
  readonly #stream: Http2Stream
  readonly #idle: Deadline
  #idleTimeoutMs: number
  #sink: OctetSink | null
  #blocked: boolean
  #ending: boolean
  #endTold: boolean
  #closed: boolean
  #how: UpgradedEnd['how'] | null

  constructor(protocol: string, stream: Http2Stream) {
    const { wheel, limits } = stream.connection
    this.protocol = protocol
    this.onDrain = null
    this.onClose = null
    this.#stream = stream
    this.#idle = new Deadline(wheel, () => this.#giveUp('idle'))
    this.#idleTimeoutMs = limits.idleTimeoutMs
    this.#sink = null
    this.#blocked = false
    this.#ending = false
    this.#endTold = false
    this.#closed = false
    this.#how = null
    this.#moved()
  }

  consume(sink: OctetSink): void {
    if (this.#sink !== null) throw new Error('An upgraded connection can be consumed once.')
    this.#sink = sink
    const { content } = this.#stream
    // END_STREAM came with the request.
    if (content === null) process.nextTick(() => this.#tellEnd())
    else {
      content.consume({
        onChunk: (chunk) => {
          this.#moved()
          sink.onChunk(chunk)
        },
        onEnd: () => this.#tellEnd(),
        // `onClose` follows.
        onAbort() {},
      })
    }
  }

  pause(): void {
    this.#stream.content?.pause()
  }

  resume(): void {
    this.#stream.content?.resume()
  }

  write(chunk: Uint8Array): boolean {
    if (this.#ending || this.#closed || this.#stream.closed) return false
    this.#blocked = !this.#stream.queue(chunk)
    return !this.#blocked
  }

  end(): void {
    if (this.#ending || this.#closed) return
    this.#ending = true
    // Both ends close the stream: ours waits until the sink has had what came before the client's.
    if (!this.#endWaits) this.#sendEnd()
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

  /** @internal Octets went out. */
  drained(): void {
    if (this.#closed) return
    this.#moved()
    if (!this.#blocked || this.#stream.queuedBytes >= DRAINED_BYTES) return
    this.#blocked = false
    this.onDrain?.()
  }

  /** @internal Nothing more will happen. */
  settle(complete: boolean): void {
    this.#closed = true
    this.#idle.release()
    this.onDrain = null
    this.onClose?.({
      how: this.#how ?? (complete ? 'ended' : 'lost'),
      bytesSent: this.#stream.sentBytes,
      bytesReceived: this.#stream.content?.receivedBytes ?? 0,
    })
  }

  get #endWaits(): boolean {
    return !this.#stream.remoteOpen && !this.#endTold
  }

  #tellEnd(): void {
    if (this.#endTold || this.#closed) return
    this.#endTold = true
    const stream = this.#stream
    try {
      this.#sink?.onEnd()
    } catch (error) {
      stream.failed(error)
    }
    if (stream.endSent) stream.connection.finishTunnel(stream, true)
    else if (this.#ending) this.#sendEnd()
  }

  #sendEnd(): void {
    const stream = this.#stream
    if (stream.closed || stream.ended) return
    stream.ended = true
    stream.schedule()
  }

  #moved(): void {
    this.#idle.arm(this.#idleTimeoutMs)
  }

  #giveUp(how: 'idle' | 'aborted'): void {
    if (this.#closed || this.#stream.closed) return
    this.#how = how
    const { connection, endSent, remoteOpen, id } = this.#stream
    // For the client it is closed already: only its octets have not all been taken.
    if (endSent && !remoteOpen) connection.finishTunnel(this.#stream, false)
    // RFC 8441 §5: the end of a connection that was no orderly one.
    else connection.resetStream(id, ERROR.cancel)
  }
}

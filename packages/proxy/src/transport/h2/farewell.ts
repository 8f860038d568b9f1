import type { Duplex } from 'node:stream'
import { Deadline, type TimerWheel } from '../timer-wheel.ts'
import type { Connection } from './connection.ts'
import { ERROR, FRAME, MAX_UINT31, writeUint32 } from './frame.ts'

/** From the announcement that we leave to the last id that we serve, if the client does not answer the PING. */
const NOTICE_MS = 1_000
/** A new connection has its first request on the way; clients that hear GOAWAY before they sent it give it up. */
const FIRST_REQUEST_MS = 2_000
/** From our last octet to the cut. */
const CLOSE_TIMEOUT_MS = 1_000
const NOTICE_PING = Buffer.from('larder-d', 'latin1')

/** How a connection ends: step by step in a drain (RFC 9113 §6.8), at once after an error (§5.4.1). */
export class Farewell {
  /** Streams above are not served: lowered by the last GOAWAY. */
  lastAcceptedId: number
  /** No frame is read any more; what is in the output still goes out. */
  ended: boolean
  /** expecting: the first request, before we say anything · announced: that we leave · leaving: the last id is said · closing: only the output is left. */
  #state: 'open' | 'expecting' | 'announced' | 'leaving' | 'closing'
  readonly #connection: Connection
  readonly #socket: Duplex
  readonly #deadline: Deadline

  constructor(connection: Connection, socket: Duplex, wheel: TimerWheel) {
    this.lastAcceptedId = MAX_UINT31
    this.ended = false
    this.#state = 'open'
    this.#connection = connection
    this.#socket = socket
    this.#deadline = new Deadline(wheel, () => this.#expired())
  }

  /** New requests are still taken: those on their way when the client hears of it must not be lost. */
  announce(): void {
    if (this.#state !== 'open') return
    if (this.#connection.requests > 0) {
      this.#announceNow()
      return
    }
    this.#state = 'expecting'
    this.#deadline.arm(FIRST_REQUEST_MS)
  }

  firstRequest(): void {
    if (this.#state === 'expecting') this.#announceNow()
  }

  #announceNow(): void {
    this.#state = 'announced'
    this.#goaway(MAX_UINT31, ERROR.none, '')
    // Once it is answered, the client has read the announcement.
    this.#connection.output.frame(FRAME.ping, 0, 0, NOTICE_PING)
    this.#deadline.arm(NOTICE_MS)
    this.#connection.wake()
  }

  announcementHeard(): void {
    if (this.#state === 'announced') this.sayLastId()
  }

  /** From here on new streams are not ours; the client repeats them elsewhere. */
  sayLastId(): void {
    if (this.#state === 'leaving' || this.#state === 'closing') return
    this.#state = 'leaving'
    this.#deadline.disarm()
    this.lastAcceptedId = this.#connection.history.lastId
    this.#goaway(this.lastAcceptedId, ERROR.none, '')
    this.#connection.wake()
  }

  /** No stream is open. */
  nothingLeft(): void {
    if (this.#state === 'leaving') this.end()
  }

  /** GOAWAY with what the client must know, and the end of all streams. */
  close(code: number, reason: string): void {
    if (this.ended) return
    this.#goaway(this.#connection.history.lastId, code, reason)
    this.end()
    this.#connection.wake()
  }

  /** Nothing is read any more; what is in the output goes out, then the socket ends. */
  end(): void {
    if (this.ended) return
    this.#state = 'closing'
    this.ended = true
    this.#connection.closeStreams()
    this.#connection.reader.discard()
    this.#deadline.arm(CLOSE_TIMEOUT_MS)
    // What still comes is read and dropped: unread octets would turn our end into a reset, and lose the GOAWAY.
    this.#socket.resume()
  }

  /** Everything that we had to say is with the kernel. */
  outputEmpty(): void {
    if (this.ended) this.#socket.end()
  }

  release(): void {
    this.ended = true
    this.#state = 'closing'
    this.#deadline.release()
  }

  #goaway(lastId: number, code: number, reason: string): void {
    const payload = Buffer.alloc(8 + reason.length)
    writeUint32(payload, writeUint32(payload, 0, lastId), code)
    payload.write(reason, 8, 'latin1')
    this.#connection.output.frame(FRAME.goaway, 0, 0, payload)
  }

  #expired(): void {
    if (this.#state === 'expecting') this.#announceNow()
    else if (this.#state === 'announced') this.sayLastId()
    // A write that does not end has a deadline of its own.
    else if (this.#connection.output.writing) this.#deadline.arm(CLOSE_TIMEOUT_MS)
    else this.#socket.destroy()
  }
}

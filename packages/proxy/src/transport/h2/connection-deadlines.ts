import { Deadline, type TimerWheel } from '../timer-wheel.ts'
import type { Connection } from './connection.ts'
import { ERROR, FRAME } from './frame.ts'
import { watchIntervalMs, watchStreams } from './stream-watch.ts'

const SETTINGS_TIMEOUT_MS = 10_000

/** How long a connection waits, and for what. A handful of deadlines for all its streams, never one per request. */
export class ConnectionDeadlines {
  readonly #connection: Connection
  /** A head must end, the first SETTINGS included. */
  readonly #head: Deadline
  /** No stream is open. */
  readonly #idle: Deadline
  readonly #settings: Deadline
  /** The socket must take what we gave it. */
  readonly #write: Deadline
  /** Looks at the streams. */
  readonly #watch: Deadline
  /** Number of the frame with which the head began that `#head` waits for. */
  #headUnderWay: number
  #requestsWhenIdle: number

  constructor(connection: Connection, wheel: TimerWheel) {
    this.#connection = connection
    this.#head = new Deadline(wheel, () =>
      connection.fail(ERROR.protocol, 'a head without end', 408),
    )
    this.#idle = new Deadline(wheel, () => connection.farewell.close(ERROR.none, ''))
    this.#settings = new Deadline(wheel, () =>
      connection.fail(ERROR.settingsTimeout, 'SETTINGS without ACK', 408),
    )
    this.#write = new Deadline(wheel, () => connection.destroy())
    this.#watch = new Deadline(wheel, () => connection.run(() => watchStreams(connection)))
    this.#headUnderWay = 0
    this.#requestsWhenIdle = 0
    this.#settings.arm(SETTINGS_TIMEOUT_MS)
  }

  /** False when nobody waited for it. */
  settingsAcknowledged(): boolean {
    const waited = this.#settings.armed
    this.#settings.disarm()
    return waited
  }

  writeBegins(): void {
    this.#write.arm(this.#connection.limits.writeTimeoutMs)
  }

  writeEnds(): void {
    this.#write.disarm()
  }

  /** A head under way must end in time, however its octets are spread. Content has limits of its own. */
  watchHead(): void {
    const { reader, pending, settingsSeen, ended, limits } = this.#connection
    const underWay =
      !settingsSeen || pending !== null || (reader.inFrame && reader.partialType !== FRAME.data)
    if (!underWay || ended || reader.isHolding) {
      this.#head.disarm()
      return
    }
    // Busy clients have some head under way at the end of every chunk; only one and the same counts as slow.
    const head = pending === null ? reader.framesRead : pending.frameIndex
    if (this.#head.armed && head === this.#headUnderWay) return
    this.#headUnderWay = head
    this.#head.arm(limits.headerTimeoutMs)
  }

  /** After every event: either some stream is to be watched, or the connection is idle. */
  watchStreams(): void {
    const { streams, requests, limits } = this.#connection
    if (streams.size > 0) {
      this.#idle.disarm()
      if (!this.#watch.armed) this.#watch.arm(watchIntervalMs(limits))
      return
    }
    this.#watch.disarm()
    // Frames that are no requests do not keep a connection.
    if (this.#idle.armed && requests === this.#requestsWhenIdle) return
    this.#requestsWhenIdle = requests
    this.#idle.arm(limits.idleTimeoutMs)
  }

  release(): void {
    this.#head.release()
    this.#idle.release()
    this.#settings.release()
    this.#write.release()
    this.#watch.release()
  }
}

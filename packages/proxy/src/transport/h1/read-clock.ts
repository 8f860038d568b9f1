import type { TransportLimits } from '../limits.ts'
import { Deadline, type TimerWheel } from '../timer-wheel.ts'

/** What a connection is waiting for its client to do. */
export const NOTHING = 0
export const IDLE = 1
export const HEAD = 2
export const BODY = 3
export const LINGER = 4
export const PARTING = 5

/** In a drain: how long an idle connection may still bring a request, so that none is lost that is on its way. */
const PARTING_MS = 1_000
/** After our last byte: how long the client may take to close. */
const LINGER_MS = 2_000

/** The one deadline for everything that a client is waited for, since it is never waited for two things at once. */
export class ReadClock {
  waitingFor = NOTHING
  readonly #limits: TransportLimits
  readonly #wheel: TimerWheel
  readonly #deadline: Deadline
  readonly #onExpired: (waitedFor: number) => void
  #bodyBytes = 0
  #bodyWindowStart = 0
  #bodyTimeLeftMs = 0

  constructor(limits: TransportLimits, wheel: TimerWheel, onExpired: (waitedFor: number) => void) {
    this.#limits = limits
    this.#wheel = wheel
    this.#onExpired = onExpired
    this.#deadline = new Deadline(wheel, () => this.#expire())
  }

  /** From now on, again and again: an idle connection counts from its last activity. */
  idle(): void {
    this.waitingFor = IDLE
    this.#deadline.arm(this.#limits.idleTimeoutMs)
  }

  parting(): void {
    if (this.waitingFor === PARTING) return
    this.waitingFor = PARTING
    this.#deadline.arm(PARTING_MS)
  }

  /** In total from the first call on, however often it is called: the client gains nothing by sending a little. */
  head(): void {
    if (this.waitingFor === HEAD) return
    this.waitingFor = HEAD
    this.#deadline.arm(this.#limits.headerTimeoutMs)
  }

  linger(): void {
    this.waitingFor = LINGER
    this.#deadline.arm(LINGER_MS)
  }

  /** A new body: its total time begins when it is first waited for. */
  newBody(): void {
    this.#bodyTimeLeftMs = this.#limits.bodyTimeoutMs
  }

  body(): void {
    if (this.waitingFor === BODY) return
    this.waitingFor = BODY
    this.#bodyBytes = 0
    this.#bodyWindowStart = this.#wheel.now()
    this.#deadline.arm(Math.min(this.#limits.bodyRateWindowMs, this.#bodyTimeLeftMs))
  }

  received(bytes: number): void {
    if (this.waitingFor === BODY) this.#bodyBytes += bytes
  }

  nothing(): void {
    // Only the time in which we were willing to read counts against the client.
    if (this.waitingFor === BODY) this.#spendBodyTime()
    this.waitingFor = NOTHING
    this.#deadline.disarm()
  }

  release(): void {
    this.#deadline.release()
  }

  #spendBodyTime(): void {
    this.#bodyTimeLeftMs -= this.#wheel.now() - this.#bodyWindowStart
  }

  #expire(): void {
    const { waitingFor } = this
    this.nothing()
    if (waitingFor === BODY && this.#bodyTimeLeftMs > 0 && this.#fastEnough()) this.body()
    else this.#onExpired(waitingFor)
  }

  #fastEnough(): boolean {
    const { minBodyBytesPerSecond, bodyRateWindowMs } = this.#limits
    return this.#bodyBytes >= (minBodyBytesPerSecond * bodyRateWindowMs) / 1000
  }
}

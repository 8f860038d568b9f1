import { within } from '../deadline.ts'
import type { BusState } from '../purge-bus.ts'
import type { Beat } from './purge-log.ts'

const ANSWER_WITHIN_MS = 1_500
/** How often it is looked whether answers have stopped coming. */
const LOOK_EVERY_MS = 100

export interface HeartbeatOptions {
  readonly everyMs: number
  readonly cutOffAfterMs: number
  /** One question to Redis. */
  readonly ask: () => Promise<Beat>
  /** Makes use of the answer; resolves to true when nothing that was published before it is missing any more. */
  readonly onBeat: (beat: Beat) => Promise<boolean>
  readonly onState: (state: BusState) => void
  readonly onError: (error: unknown) => void
}

/** Asks Redis regularly, and knows from the answers whether this machine hears everything. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  /** `performance.now()` of the last answer. */
  #answeredAt = Number.NEGATIVE_INFINITY
  /** Epoch ms since which it has been the same kind of state. */
  #sinceAt = Date.now()
  #isWhole = false
  #told: BusState['kind'] | null = null
  #timer: NodeJS.Timeout | undefined
  #watch: NodeJS.Timeout | undefined
  #running: Promise<void> | null = null
  #again = false
  #doubts = 0
  #stopped = false

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  get state(): BusState {
    const kind = this.#kind()
    return kind === 'connected' ? { kind } : { kind, sinceAt: this.#sinceAt }
  }

  start(): void {
    this.#watch = setInterval(() => this.#tell(), LOOK_EVERY_MS)
    this.now()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearInterval(this.#watch)
  }

  /** Resolves when the one that is under way has ended. */
  async ended(): Promise<void> {
    await this.#running
  }

  /** Until the answer to the next question nothing is certain. */
  doubt(): void {
    this.#doubts++
    this.#isWhole = false
    this.#tell()
  }

  /** Asks now, or again as soon as the answer that is awaited has come. */
  now(): void {
    if (this.#stopped) return
    if (this.#running !== null) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#running = this.#beat().finally(() => {
      this.#running = null
      if (this.#again) {
        this.#again = false
        this.now()
      } else this.in(this.#options.everyMs)
    })
  }

  /** Asks in so many ms, or earlier if that was intended. */
  in(ms: number): void {
    if (this.#stopped || this.#running !== null) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.now(), Math.min(ms, this.#options.everyMs))
  }

  async #beat(): Promise<void> {
    const doubts = this.#doubts
    try {
      const beat = await within(ANSWER_WITHIN_MS, this.#options.ask(), 'a heartbeat')
      this.#answeredAt = performance.now()
      const isWhole = await this.#options.onBeat(beat)
      this.#isWhole = isWhole && doubts === this.#doubts
    } catch (error) {
      this.#isWhole = false
      this.#options.onError(error)
    }
    this.#tell()
  }

  #kind(): BusState['kind'] {
    const silentMs = performance.now() - this.#answeredAt
    if (silentMs > this.#options.cutOffAfterMs) return 'cut-off'
    return this.#isWhole ? 'connected' : 'catching-up'
  }

  #tell(): void {
    const kind = this.#kind()
    if (kind === 'cut-off') this.#isWhole = false
    if (kind === this.#told) return
    const silentMs = performance.now() - this.#answeredAt
    this.#sinceAt = Date.now() - (kind === 'cut-off' && Number.isFinite(silentMs) ? silentMs : 0)
    this.#told = kind
    this.#options.onState(this.state)
  }
}

export interface DiskHealthOptions {
  /** How often a tier in trouble is tried, and one without looked after. */
  readonly intervalMs: number
  /** The tier went off (with the reason) or came back; told once per change. */
  onState(state: 'on' | 'off', reason: string): void
  /** While it is on: rejects when what it is built on has gone. */
  check(): Promise<void>
  /** While it is off: settles when it works again. */
  probe(): Promise<void>
}

/** A disk that has not answered in time so often, with no answer in between, hangs. */
const MAX_TIMEOUTS = 5

/** Whether the disk tier is on. Off, it is left alone but for one probe per interval. */
export class DiskHealth {
  readonly #options: DiskHealthOptions
  readonly #timer: NodeJS.Timeout
  #on = true
  #timeouts = 0
  #busy = false
  #closed = false

  constructor(options: DiskHealthOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.#look(), options.intervalMs)
    this.#timer.unref()
  }

  get on(): boolean {
    return this.#on && !this.#closed
  }

  /** Off it is still read, unless it hangs: a full disk has lost nothing. */
  get mayRead(): boolean {
    return this.on || (!this.#closed && this.answers)
  }

  /** It answered the last time it was asked. */
  get answers(): boolean {
    return this.#timeouts === 0
  }

  answered(): void {
    this.#timeouts = 0
  }

  timedOut(error: Error): void {
    this.#timeouts++
    if (this.#timeouts < MAX_TIMEOUTS) return
    this.trouble(new Error(`${error.message}, ${this.#timeouts} times in a row`))
  }

  trouble(error: NodeJS.ErrnoException): void {
    if (!this.#on || this.#closed) return
    this.#on = false
    const code = typeof error.code === 'string' ? error.code : ''
    const said = code === '' || error.message.includes(code)
    this.#options.onState('off', said ? error.message : `${code}: ${error.message}`)
  }

  async #look(): Promise<void> {
    // A disk that hangs is not asked twice.
    if (this.#busy) return
    this.#busy = true
    try {
      if (this.#on) await this.#options.check()
      else {
        await this.#options.probe()
        this.#recovered()
      }
    } catch (error) {
      // Whatever is thrown there is an Error.
      this.trouble(error as Error)
    } finally {
      this.#busy = false
    }
  }

  #recovered(): void {
    if (this.#closed) return
    this.#on = true
    this.#timeouts = 0
    this.#options.onState('on', '')
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }
}

import { randomUUID } from 'node:crypto'
import { type DeadLetter, PurgeNotKeptError, PurgeOverloadError } from '../purge-bus.ts'
import type { NumberedPurge, PurgeMessage } from '../purge-message.ts'
import type { Outbox } from './outbox.ts'
import type { Numbering, PurgeLog, Standing } from './purge-log.ts'
import { numberedOf } from './sender.ts'

const FORWARD_AT_ONCE = 256
const MAX_FORWARDED = 10_000

export interface LocalPurgesOptions {
  readonly outbox: Outbox
  readonly log: PurgeLog
  readonly standing: () => Standing
  /** Applies purges on this machine at once; the number they have here, undefined when there is none left. */
  readonly applyHere: (messages: readonly PurgeMessage[]) => number | undefined
  /** They have numbers now; resolves to false when Redis may have lost them before they were applied here. */
  readonly onNumbers: (epoch: string, purges: readonly NumberedPurge[]) => Promise<boolean>
  /** Redis keeps it until its time. */
  readonly onDue: (id: string, message: PurgeMessage) => void
  readonly onError: (reason: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

interface Keeping {
  readonly letter: DeadLetter
  readonly done: (letter: DeadLetter) => void
  readonly failed: (error: unknown) => void
}

/** Purges that Redis could not be told: in force here at once, kept on disk, handed on when Redis is back. */
export class LocalPurges {
  readonly #options: LocalPurgesOptions
  /** Their numbers on this machine. */
  readonly #numbers = new Map<string, number>()
  readonly #forwarded = new Map<string, Numbering>()
  readonly #waiting = new Map<string, ((numbering: Numbering | undefined) => void)[]>()
  /** Not in force yet. */
  readonly #early = new Map<string, DeadLetter>()
  #keeping: Keeping[] = []
  #forwarding: Promise<void> | null = null

  constructor(options: LocalPurgesOptions) {
    this.#options = options
  }

  /** Puts in force again what waited when this machine was stopped. */
  begin(): void {
    this.#apply(this.#options.outbox.pending)
  }

  /** Resolves when it is on disk. Those of one turn are applied together. */
  keep(message: PurgeMessage): Promise<DeadLetter> {
    const { outbox, now } = this.#options
    if (!outbox.hasRoom) {
      const many = `${outbox.pendingCount} purges wait for Redis to come back`
      return Promise.reject(new PurgeOverloadError(`${many}; purge again when it is`))
    }
    const letter = { id: `kept-${randomUUID()}`, message, publishedAt: now() }
    return new Promise((done, failed) => {
      this.#keeping.push({ letter, done, failed })
      if (this.#keeping.length === 1) queueMicrotask(() => this.#keepAll())
    })
  }

  /** The whole number before the first that is in force here and waits; null when there is none. */
  get pendingAfter(): number | null {
    for (const [id, number] of this.#numbers) {
      if (this.#options.outbox.get(id)?.isDead === false) return Math.floor(number)
    }
    return null
  }

  numberHere(id: string): number | undefined {
    return this.#numbers.get(id)
  }

  forwarded(id: string): Numbering | undefined {
    return this.#forwarded.get(id)
  }

  /** Resolves with its place in the sequence, or with undefined when it has none in time. */
  async whenForwarded(id: string, ms: number): Promise<Numbering | undefined> {
    const known = this.#forwarded.get(id)
    if (known !== undefined || ms <= 0) return known
    const { promise, resolve } = Promise.withResolvers<Numbering | undefined>()
    const timer = setTimeout(() => resolve(undefined), ms)
    const waiting = this.#waiting.get(id) ?? []
    waiting.push(resolve)
    this.#waiting.set(id, waiting)
    const numbering = await promise
    clearTimeout(timer)
    if (numbering === undefined) this.#stopWaiting(id, resolve)
    return numbering
  }

  /** Hands on what waits, in order; ends early when Redis does not take it. */
  forward(): Promise<void> {
    this.#forwarding ??= this.#forward().finally(() => {
      this.#forwarding = null
    })
    return this.#forwarding
  }

  /** Puts in force what has become due while Redis is away. */
  applyDue(): void {
    const now = this.#options.now()
    const due = [...this.#early.values()].filter(({ message }) => (message.at ?? 0) <= now)
    if (due.length > 0) this.#apply(due)
  }

  #keepAll(): void {
    const batch = this.#keeping
    this.#keeping = []
    if (!this.#apply(batch.map(({ letter }) => letter))) {
      const error = new PurgeOverloadError(
        'Redis has been away for so long that this machine has no numbers of its own left',
      )
      for (const { failed } of batch) failed(error)
      return
    }
    for (const each of batch) void this.#write(each)
  }

  async #write({ letter, done, failed }: Keeping): Promise<void> {
    try {
      await this.#options.outbox.add(letter)
      done(letter)
    } catch (error) {
      failed(
        new PurgeNotKeptError(
          `The purge is in force on this machine, but could not be written down for the others (${error}): ` +
            'they get it when Redis is back, unless this one stops before that.',
        ),
      )
    }
  }

  #apply(letters: readonly DeadLetter[]): boolean {
    const now = this.#options.now()
    const isEarly = ({ message }: DeadLetter) => message.at !== undefined && message.at > now
    const ready = letters.filter((letter) => !isEarly(letter))
    if (ready.length > 0) {
      const number = this.#options.applyHere(ready.map(({ message }) => message))
      if (number === undefined) return false
      for (const { id } of ready) {
        this.#numbers.set(id, number)
        this.#early.delete(id)
      }
    }
    for (const letter of letters) if (isEarly(letter)) this.#early.set(letter.id, letter)
    return true
  }

  async #forward(): Promise<void> {
    const { outbox, log, standing, onNumbers, onDue, onError } = this.#options
    while (outbox.pendingCount > 0) {
      const letters = outbox.first(FORWARD_AT_ONCE)
      // By its id, so that an attempt whose answer was lost does not count twice.
      const list = letters.map(({ id, message }) => ({
        message,
        text: JSON.stringify(message),
        once: { id, heard: -1 },
      }))
      const asked = standing()
      const numbers = await log.publish(asked, list)
      if (typeof numbers === 'string') return
      if (!(await onNumbers(asked.epoch, numberedOf(list, numbers)))) return
      const handedOn: string[] = []
      const refused: string[] = []
      for (const [index, { id, message }] of letters.entries()) {
        const numbering = numbers[index]
        if (numbering !== 'full' && 'due' in numbering) onDue(numbering.due, message)
        if (numbering === 'full') refused.push(id)
        else {
          handedOn.push(id)
          this.#hasNumber(id, numbering)
        }
      }
      if (refused.length > 0) onError(`${refused.length} purges were put aside: too many scheduled`)
      await outbox.bury(refused)
      await outbox.done(handedOn)
    }
  }

  #hasNumber(id: string, numbering: Numbering): void {
    this.#numbers.delete(id)
    this.#early.delete(id)
    this.#forwarded.set(id, numbering)
    for (const oldest of this.#forwarded.keys()) {
      if (this.#forwarded.size <= MAX_FORWARDED) break
      this.#forwarded.delete(oldest)
    }
    for (const tell of this.#waiting.get(id) ?? []) tell(numbering)
    this.#waiting.delete(id)
  }

  #stopWaiting(id: string, resolve: (numbering: undefined) => void): void {
    const rest = (this.#waiting.get(id) ?? []).filter((it) => it !== resolve)
    if (rest.length === 0) this.#waiting.delete(id)
    else this.#waiting.set(id, rest)
  }
}

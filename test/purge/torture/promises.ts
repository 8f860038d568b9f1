import type { PurgeMessage } from '@larder/purge-bus'
import { covers, doesAwayWith, type Page } from './page.ts'

/** A machine that nothing is done to has every purge after this time. */
const GRACE_MS = 5_000
const HISTORY_OF_A_PAGE = 60
const HISTORY_OF_EVENTS = 60

/** A purge that has been sent, and which versions it must do away with. */
export interface SentPurge {
  readonly name: string
  /** Page → the version that was current when the purge was sent: no older one may be seen. */
  readonly oldest: ReadonlyMap<Page, number>
}

/** Who promises what of a purge. */
export interface Promised {
  /** Machines on which it is in force already. */
  readonly now: readonly number[]
  /** Machines on which it must be `GRACE_MS` after nothing is wrong with them any more. */
  readonly later: readonly number[]
  /** The machine that has to hand it on, if that has not been done. */
  readonly from?: number
  /** It may be forgotten if anything is done to a machine before it is in force: nobody has said that it is kept. */
  readonly isFragile?: boolean
}

interface Owed extends Promised {
  readonly purge: SentPurge
  readonly machine: number
  readonly sinceMs: number
}

/** What clients were promised, so that it can be said of every answer whether it was kept. Times are monotonic, ms. */
export class Promises {
  readonly violations: string[] = []
  /** How many answers were held against a purge, in all. */
  held = 0
  readonly #pages: readonly Page[]
  readonly #versions = new Map<Page, number>()
  /** By machine: page → the oldest version that may be seen, and why. */
  readonly #oldest: Map<Page, { version: number; purge: string }>[]
  #owed: Owed[] = []
  /** By machine: how many things are wrong with it, and since when nothing is. */
  readonly #troubles: number[]
  readonly #wellSinceMs: number[]
  readonly #histories = new Map<Page, string[]>()
  readonly #events: string[] = []
  readonly #now: () => number
  readonly #startedMs: number
  #step = 0

  constructor(pages: readonly Page[], machines: number, now = () => performance.now()) {
    this.#pages = pages
    this.#now = now
    this.#startedMs = now()
    this.#oldest = Array.from({ length: machines }, () => new Map())
    this.#troubles = Array.from({ length: machines }, () => 0)
    this.#wellSinceMs = Array.from({ length: machines }, () => this.#startedMs)
    for (const page of pages) this.#versions.set(page, 1)
  }

  get step(): number {
    return this.#step
  }

  versionOf(page: Page): number {
    return this.#versions.get(page) ?? 1
  }

  change(page: Page): void {
    this.#versions.set(page, this.versionOf(page) + 1)
    this.note(page, `is version ${this.versionOf(page)}`)
  }

  /** Called immediately before it is sent. */
  sending(message: PurgeMessage, door: string): SentPurge {
    const pages = this.#pages.filter((page) => covers(message, page))
    const name = `purge ${++this.#step} by ${door}: ${JSON.stringify(message)}`
    for (const page of pages) this.note(page, `${name} is sent`)
    const gone = pages.filter((page) => doesAwayWith(message, page))
    return { name, oldest: new Map(gone.map((page) => [page, this.versionOf(page)])) }
  }

  promised(purge: SentPurge, promised: Promised, answer: string): void {
    this.#settle()
    for (const page of purge.oldest.keys()) this.note(page, `${purge.name} was answered ${answer}`)
    for (const machine of promised.now) this.#enforce(machine, purge)
    for (const machine of promised.later) {
      this.#owed.push({ ...promised, purge, machine, sinceMs: this.#now() })
    }
  }

  /** Something is being done to a machine; ended by `well`. */
  trouble(machine: number, what: string): void {
    this.event(`machine ${machine}: ${what}`)
    this.#settle()
    this.#troubles[machine]++
    this.#owed = this.#owed.filter(({ isFragile }) => isFragile !== true)
  }

  well(machine: number, what: string): void {
    this.event(`machine ${machine}: ${what}`)
    this.#troubles[machine]--
    this.#wellSinceMs[machine] = this.#now()
  }

  isWell(machine: number): boolean {
    return this.#troubles[machine] === 0
  }

  /** The oldest version that a request which begins now may be answered with. */
  oldestFor(machine: number, page: Page): { version: number; purge: string } {
    this.#settle()
    const oldest = this.#oldest[machine].get(page)
    if (oldest !== undefined) this.held++
    return oldest ?? { version: 1, purge: 'no purge' }
  }

  /** What has happened to everything. */
  event(what: string): void {
    this.#step++
    keep(this.#events, `${this.#time()} step ${this.#step} ${what}`, HISTORY_OF_EVENTS)
  }

  note(page: Page, what: string): void {
    const history = this.#histories.get(page) ?? []
    this.#histories.set(page, history)
    keep(history, `${this.#time()} ${what}`, HISTORY_OF_A_PAGE)
  }

  violated(page: Page, what: string): void {
    const parts = [
      `step ${this.#step}, ${this.#time()}: ${page.path}: ${what}`,
      'What has happened to this page:',
      ...(this.#histories.get(page) ?? []),
      'What has happened to the machines:',
      ...this.#events,
    ]
    this.violations.push(parts.join('\n  '))
  }

  #settle(): void {
    if (this.#owed.length === 0) return
    const now = this.#now()
    this.#owed = this.#owed.filter((owed) => {
      const involved = owed.from === undefined ? [owed.machine] : [owed.machine, owed.from]
      const isDue = involved.every(
        (machine) =>
          this.isWell(machine) &&
          now >= Math.max(owed.sinceMs, this.#wellSinceMs[machine]) + GRACE_MS,
      )
      if (isDue) this.#enforce(owed.machine, owed.purge)
      return !isDue
    })
  }

  #enforce(machine: number, purge: SentPurge): void {
    for (const [page, version] of purge.oldest) {
      const held = this.#oldest[machine].get(page)?.version ?? 0
      if (version > held) this.#oldest[machine].set(page, { version, purge: purge.name })
    }
  }

  #time(): string {
    return `${((this.#now() - this.#startedMs) / 1e3).toFixed(3)} s`
  }
}

function keep(list: string[], line: string, most: number): void {
  list.push(line)
  if (list.length > most) list.shift()
}

import { type DuePurge, DuePurges } from '../due-purges.ts'
import type { OpenedHistory, PurgeHistory } from '../journal/purge-history.ts'
import type { PurgeBusEvents } from '../purge-bus.ts'
import type { NumberedPurge, PurgeMessage } from '../purge-message.ts'
import type { PurgeTable } from '../purge-table.ts'
import {
  type FollowerExtra,
  type FollowerValue,
  readFollowerExtra,
  readFollowerValue,
} from './follower-journal.ts'
import { asLogged, type Beat, type LogEntry, type PurgeLog, type Standing } from './purge-log.ts'
import { RecentPurges } from './recent-purges.ts'

/** Entries of the log that are read at once. */
const READ_AT_ONCE = 250
/** How long a number may take to be applied here, once Redis has given it. */
const APPLY_WITHIN_MS = 2_000
/** Then there is a heartbeat in between. */
const READ_FOR_MS = 400
/** Between two whole numbers there is room for so many that only this machine knows. */
const OWN_STEP = 2 ** -16

/**
 * Where this machine is in the sequence, and how it comes to its end: by messages as they are published, by the log
 * where one was missed, by a floor where the log does not reach back. Whatever happens, what it tells is complete up to
 * its position.
 */
export class LogFollower {
  readonly table: PurgeTable
  readonly #log: PurgeLog
  readonly #history: PurgeHistory
  readonly #events: PurgeBusEvents
  readonly #recent = new RecentPurges()
  readonly #onJournalError: (error: unknown) => void
  #damage: string | undefined
  /** A number that stored responses may carry although the position is lower: after damage. */
  #highest = 0
  /** The journal lacks something: what comes after it is no proof that everything before it is there. */
  #isTorn = false
  #epoch: string
  #epochs: string
  #position: number
  /** The highest number that is known to exist in this epoch. */
  #target = 0
  #reading: Promise<'whole' | 'short'> | null = null
  /** What was scheduled through this machine. */
  readonly #due = new DuePurges()
  /** Who waits for a number to be applied. */
  readonly #awaited = new Map<number, ((isApplied: boolean) => void)[]>()

  constructor(
    log: PurgeLog,
    opened: OpenedHistory,
    events: PurgeBusEvents,
    onJournalError: (error: unknown) => void,
  ) {
    this.#log = log
    this.#history = opened.history
    this.table = opened.table
    this.#events = events
    this.#onJournalError = onJournalError
    const { epoch, history, position, due } = readFollowerExtra(opened.extra)
    for (const each of due) this.#due.add(each)
    this.#epoch = epoch
    this.#epochs = history
    this.#position = position
    for (const value of opened.values) this.#replay(readFollowerValue(value))
    if (opened.damage !== undefined) this.#recover(opened.damage, opened.afterDamage)
    this.#target = this.#position
    if (this.#recent.last !== this.#position) this.#recent.startAfter(this.#position)
  }

  /** What is wrong with what was on disk; undefined = nothing. */
  get damage(): string | undefined {
    return this.#damage
  }

  get standing(): Standing {
    return { epoch: this.#epoch, position: this.#position }
  }

  /** The highest number that is known to have been given. */
  get target(): number {
    return this.#target
  }

  get isBehind(): boolean {
    return this.#position < this.#target
  }

  /** Takes in what the heartbeat has brought; rejects when Redis does not answer in between. */
  async meet(beat: Beat): Promise<void> {
    if (beat.epoch !== this.#epoch && !(await this.#enterEpoch(beat))) return
    if (beat.history !== this.#epochs) this.#noteEpoch(beat)
    if (this.#position < beat.first - 1) {
      this.#raiseFloor(beat.first - 1, `the log of purges begins at ${beat.first} only`)
    }
    this.#target = Math.max(this.#target, beat.seq)
    const read = await this.#readOn()
    if (read === 'short' && this.#position < beat.seq && this.#epoch === beat.epoch) {
      this.#raiseFloor(beat.seq, `the log of purges lacks what comes after ${this.#position}`)
    }
  }

  /** One message of the channel of numbered purges; false when it cannot be taken in without asking Redis. */
  hear(text: string): { last: number; isWhole: boolean } | null {
    const message = readNumbered(text)
    if (message === null || message.epoch !== this.#epoch) return null
    const { previous, from, messages } = message
    const last = from + messages.length - 1
    this.#target = Math.max(this.#target, last)
    if (previous <= this.#position) this.#apply(asEntries(previous, from, messages))
    return { last, isWhole: this.#position >= last }
  }

  /** Reads what was missed; rejects when Redis does not answer. */
  async catchUp(): Promise<void> {
    await this.#readOn()
  }

  /** Numbers that Redis has just given to purges of this machine, rising: nobody has to say it twice. */
  offer(epoch: string, purges: readonly NumberedPurge[]): void {
    if (epoch !== this.#epoch) return
    for (const { number, message } of purges) {
      this.#target = Math.max(this.#target, number)
      if (number === this.#position + 1) this.#apply([{ number, message, previous: number - 1 }])
    }
  }

  /**
   * Resolves to true when this number is applied here, from when on this machine can give it back to Redis; to false
   * when Redis may have lost it before that.
   */
  async whenApplied(epoch: string, number: number): Promise<boolean> {
    if (epoch !== this.#epoch) return false
    if (number <= this.#position) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const awaited = this.#awaited.get(number) ?? []
    awaited.push(resolve)
    this.#awaited.set(number, awaited)
    const timer = setTimeout(() => resolve(false), APPLY_WITHIN_MS)
    const isApplied = await promise
    clearTimeout(timer)
    if (!isApplied) this.#awaited.delete(number)
    return isApplied
  }

  /** Applies purges that have no number yet; their number here. Undefined = there is none left. */
  applyHere(messages: readonly PurgeMessage[]): number | undefined {
    const { number: current } = this.table
    const number = current + OWN_STEP
    if (number >= Math.floor(current) + 1) return undefined
    const purges = messages.map((message) => ({ number, message }))
    this.table.apply(purges)
    this.#events.onPurges(purges)
    return number
  }

  get extra(): FollowerExtra {
    const due = this.#due.all
    return { epoch: this.#epoch, history: this.#epochs, position: this.#position, due }
  }

  /** Scheduled purges that Redis may have forgotten, if it has forgotten anything. */
  get due(): readonly DuePurge[] {
    return this.#due.all
  }

  /** Redis has scheduled it. */
  remember(due: DuePurge): void {
    if (this.#due.get(due.id) !== undefined) return
    this.#due.add(due)
    this.#write({ kind: 'due', due })
  }

  /** What was due before this instant (epoch ms) has its number. */
  forgetDue(before: number): void {
    for (const { id } of this.#due.dueAt(before)) this.#due.remove(id)
  }

  async snapshot(): Promise<void> {
    await this.#history.rotate(this.table, this.extra, true)
  }

  async close(): Promise<void> {
    await this.snapshot().catch((error) => this.#onJournalError(error))
    await this.#history.close()
  }

  /** False when another epoch has begun meanwhile. */
  async #enterEpoch(beat: Beat): Promise<boolean> {
    const { standing } = this
    if (standing.epoch !== '' && standing.position > beat.kept) {
      const { from, texts } = this.#recent
      const seen = { epoch: beat.epoch, history: this.#epochs }
      const { done, seq } = await this.#log.restore(standing, seen, from, texts)
      if (done === 'epoch') return false
      if (done === 'renumbered') {
        this.#position = seq
        this.#raiseFloor(seq, 'Redis has lost purges that this machine had, and numbered others')
      }
    }
    if (beat.seq < this.#highest) {
      // Redis has lost purges too. With the next heartbeat it learns which numbers are taken.
      this.#raiseFloor(Math.ceil(this.#highest), 'this machine and Redis have both lost purges')
    }
    this.#highest = 0
    this.#epoch = beat.epoch
    this.#target = this.#position
    for (const number of [...this.#awaited.keys()]) this.#answer(number, number <= this.#position)
    this.#noteEpoch(beat)
    return true
  }

  #noteEpoch({ epoch, history }: Beat): void {
    this.#epochs = history
    this.#write({ kind: 'epoch', epoch, history })
  }

  /** 'short': the log had no more, though there should be. `isBehind` when there was not enough time for all. */
  #readOn(): Promise<'whole' | 'short'> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null
    })
    return this.#reading
  }

  async #read(): Promise<'whole' | 'short'> {
    const epoch = this.#epoch
    const endsAt = performance.now() + READ_FOR_MS
    while (this.#position < this.#target && performance.now() < endsAt) {
      const entries = await this.#log.read(this.#position, READ_AT_ONCE)
      if (epoch !== this.#epoch) return 'whole'
      if (entries.length === 0) return 'short'
      this.#apply(entries)
    }
    return 'whole'
  }

  #apply(entries: readonly LogEntry[]): void {
    let purges: NumberedPurge[] = []
    let start = this.#position
    for (const { number, previous, message } of entries) {
      if (number <= this.#position) continue
      if (previous > this.#position) {
        this.#tell(start, purges)
        purges = []
        start = previous
        this.#raiseFloor(previous, `the log of purges lacks ${this.#position + 1} to ${previous}`)
      }
      purges.push({ number, message })
      this.#recent.add(number, JSON.stringify(message))
      this.#position = number
    }
    this.#tell(start, purges)
  }

  #tell(previous: number, purges: readonly NumberedPurge[]): void {
    if (purges.length === 0) return
    this.table.apply(purges)
    this.#write({ kind: 'purges', previous, purges })
    this.#events.onPurges(purges)
    if (this.#awaited.size > 0) for (const { number } of purges) this.#answer(number, true)
  }

  #answer(number: number, isApplied: boolean): void {
    for (const resolve of this.#awaited.get(number) ?? []) resolve(isApplied)
    this.#awaited.delete(number)
  }

  #raiseFloor(number: number, reason: string): void {
    this.#position = Math.max(this.#position, number)
    this.#recent.startAfter(this.#position)
    this.table.raiseFloor(number)
    this.#write({ kind: 'floor', number })
    this.#events.onFloor(number, `${reason}: everything stored before counts as purged`)
    for (const awaited of [...this.#awaited.keys()]) {
      if (awaited <= this.#position) this.#answer(awaited, true)
    }
  }

  /** Nobody waits for it: what the disk does not get, Redis still has. */
  #write(value: FollowerValue): void {
    this.#history.append(value).catch(this.#onJournalError)
    if (this.#history.isDue(this.table)) this.snapshot().catch(this.#onJournalError)
  }

  /** The log is read from its beginning, as by a new machine; what it no longer has becomes a floor. */
  #recover(damage: string, afterDamage: readonly unknown[]): void {
    this.#highest = Math.max(this.table.number, highestNumber(afterDamage.map(readFollowerValue)))
    this.#epoch = ''
    this.#position = 0
    this.#damage = `${damage}: the log of purges is read again from its beginning`
  }

  #replay(value: FollowerValue): void {
    switch (value.kind) {
      case 'due':
        this.#due.add(value.due)
        return
      case 'epoch':
        this.#epoch = value.epoch
        this.#epochs = value.history
        return
      case 'floor':
        this.#position = Math.max(this.#position, value.number)
        this.#recent.startAfter(value.number)
        this.table.raiseFloor(value.number)
        this.#isTorn = false
        return
      case 'purges':
        this.table.apply(value.purges)
        if (value.previous > this.#position) this.#isTorn = true
        if (this.#isTorn) return
        for (const { number, message } of value.purges) {
          this.#recent.add(number, JSON.stringify(message))
          this.#position = Math.max(this.#position, number)
        }
    }
  }
}

function highestNumber(values: readonly FollowerValue[]): number {
  let highest = 0
  for (const value of values) {
    if (value.kind === 'floor') highest = Math.max(highest, value.number)
    else if (value.kind === 'purges')
      for (const { number } of value.purges) highest = Math.max(highest, number)
  }
  return highest
}

interface NumberedMessage {
  readonly epoch: string
  readonly previous: number
  readonly from: number
  readonly messages: readonly PurgeMessage[]
}

/** '<epoch> <number before> <first number>', line feed, JSON list; null when it is something else. */
function readNumbered(text: string): NumberedMessage | null {
  const feed = text.indexOf('\n')
  const [epoch, previous, from, ...rest] = text.slice(0, feed).split(' ')
  if (feed < 0 || rest.length > 0 || !isNumber(previous) || !isNumber(from)) return null
  try {
    const messages: unknown = JSON.parse(text.slice(feed + 1))
    if (!Array.isArray(messages)) return null
    const numbers = { previous: Number(previous), from: Number(from) }
    return { epoch, ...numbers, messages: messages.map(asLogged) }
  } catch {
    // The log has it too, whatever this is.
    return null
  }
}

function isNumber(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,16}$/.test(text)
}

function asEntries(previous: number, from: number, messages: readonly PurgeMessage[]): LogEntry[] {
  return messages.map((message, index) => {
    const number = from + index
    return { number, message, previous: index === 0 ? previous : number - 1 }
  })
}

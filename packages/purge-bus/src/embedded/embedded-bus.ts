import { DuePurges } from '../due-purges.ts'
import { PurgeHistory } from '../journal/purge-history.ts'
import {
  type BusState,
  type BusStatus,
  type DeadLetter,
  type PublishOptions,
  type PurgeBus,
  type PurgeBusEvents,
  PurgeNotKeptError,
  PurgeOverloadError,
} from '../purge-bus.ts'
import { numberOfId, scheduledId } from '../purge-id.ts'
import type { NumberedPurge, PurgeMessage } from '../purge-message.ts'
import type { PurgeTable, PurgeTableOptions } from '../purge-table.ts'
import type { Receipt } from '../receipt.ts'
import { ReceiptBook } from '../receipt-book.ts'
import { scheduledReceipt } from '../scheduled-receipt.ts'
import {
  type EmbeddedExtra,
  type JournalValue,
  readExtra,
  readJournalValue,
} from './journal-value.ts'
import { References } from './references.ts'

export interface EmbeddedBusOptions {
  /** Where the journal is; it belongs beside what is stored on disk, so that both are lost together or not at all. */
  readonly folder: string
  /** This machine's name in receipts. */
  readonly machine: string
  readonly table: PurgeTableOptions
  readonly events: PurgeBusEvents
  /** Purges that wait for the journal; default 131,072. */
  readonly maxQueued?: number
  /** Default 10,000. */
  readonly maxScheduled?: number
  /** Epoch ms. */
  readonly now?: () => number
}

const DEFAULT_MAX_QUEUED = 131_072
const DEFAULT_MAX_SCHEDULED = 10_000
/** Purges that get their numbers, and go to the workers, together. */
const MAX_BATCH = 1_000
/**
 * Numbers left out at every start. What was stored may carry numbers that the journal has lost, if a disk was full or
 * damaged; no new purge may have one of those again.
 */
const NUMBERS_LEFT_OUT = 1_000_000
/** A clock that was set is noticed after so long at the latest. */
const MAX_TIMER_MS = 60_000
const RETRY_MS = 1_000

interface Queued {
  readonly message: PurgeMessage
  readonly scheduled: string | undefined
  readonly done: (number: number) => void
  readonly failed: (error: unknown) => void
}

export async function embeddedBus(options: EmbeddedBusOptions): Promise<PurgeBus> {
  const now = options.now ?? Date.now
  const opened = await PurgeHistory.open({ ...options, sync: true })
  const bus = new EmbeddedBus(options, opened.history, opened.table)
  await bus.recover(opened.extra, opened.values, opened.afterDamage, opened.damage, now())
  return bus
}

/** Numbers purges itself, on one machine, and keeps them in a journal of its own. */
class EmbeddedBus implements PurgeBus {
  readonly table: PurgeTable
  readonly state: BusState = { kind: 'connected' }
  readonly #machine: string
  readonly #events: PurgeBusEvents
  readonly #history: PurgeHistory
  readonly #now: () => number
  readonly #maxQueued: number
  readonly #maxScheduled: number
  readonly #book = new ReceiptBook()
  readonly #due = new DuePurges()
  readonly #references = new References()
  /** What has been asked for with a reference and has no number yet. */
  readonly #referenced = new Map<string, Promise<number>>()
  /** Scheduled purges that are being numbered. */
  readonly #numbering = new Set<string>()
  /** Numbers of scheduled purges, once they have one. */
  readonly #scheduledNumbers = new References()
  #last = 0
  #damage: string | undefined
  #queue: Queued[] = []
  #running: Promise<void> | null = null
  #timer: NodeJS.Timeout | undefined
  /** Something is applied that the journal does not have. */
  #owesSnapshot = false
  #retry: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: EmbeddedBusOptions, history: PurgeHistory, table: PurgeTable) {
    this.table = table
    this.#history = history
    this.#machine = options.machine
    this.#events = options.events
    this.#now = options.now ?? Date.now
    this.#maxQueued = options.maxQueued ?? DEFAULT_MAX_QUEUED
    this.#maxScheduled = options.maxScheduled ?? DEFAULT_MAX_SCHEDULED
    this.#book.setMachine(options.machine, true, {})
  }

  /** Takes in what was on disk. Before anything else. */
  async recover(
    extra: unknown,
    values: readonly unknown[],
    afterDamage: readonly unknown[],
    damage: string | undefined,
    now: number,
  ): Promise<void> {
    const { last, due, references, scheduled } = readExtra(extra)
    this.#last = Math.max(last, this.table.number)
    for (const purge of due) this.#due.add(purge)
    for (const [reference, number, at] of references)
      this.#references.remember(reference, number, at)
    for (const [id, number, at] of scheduled) this.#scheduledNumbers.remember(id, number, at)
    for (const value of values) this.#replay(readJournalValue(value))
    for (const value of afterDamage) this.#replay(readJournalValue(value))
    const isNew = extra === undefined && values.length === 0
    if (damage === undefined && !isNew) {
      this.#last += NUMBERS_LEFT_OUT
      return
    }
    // Nothing is known of what was purged before: what is stored carries lower numbers than any clock's.
    this.#last = Math.max(this.#last + NUMBERS_LEFT_OUT, now)
    this.table.raiseFloor(this.#last)
    await this.#history.rotate(this.table, this.#extra(), false)
    if (damage === undefined) return
    this.#damage = `${damage}: everything that was stored before counts as purged`
  }

  async start(): Promise<void> {
    if (this.#damage !== undefined) {
      this.#events.onFloor(this.table.number, this.#damage)
      this.#events.onError('', this.#damage)
    }
    this.#wake()
  }

  status(): BusStatus {
    return {
      state: this.state,
      number: this.table.number,
      pending: 0,
      pendingAfter: null,
      deadLetters: 0,
      scheduled: this.#due.size,
      machines: 1,
      isListening: true,
    }
  }

  async publish(message: PurgeMessage, options: PublishOptions = {}): Promise<Receipt> {
    const startedAt = performance.now()
    if (message.at !== undefined && message.at > this.#now()) return this.#schedule(message)
    const number = await this.#numberFor(message)
    this.#book.track(number, startedAt)
    await this.#book.wait(number, options.waitMs ?? 0)
    return this.#book.receipt(String(number), number)
  }

  async receipt(id: string): Promise<Receipt | null> {
    const due = this.#due.get(id)
    if (due !== undefined) return scheduledReceipt(id)
    const number = numberOfId(id) ?? this.#scheduledNumbers.numberOf(id, this.#now())
    if (number === undefined || number > this.#last) return null
    return this.#book.receipt(id, number)
  }

  addWorker(worker: string, number: number): void {
    this.#book.addWorker(this.#machine, worker, number)
  }

  removeWorker(worker: string): void {
    this.#book.removeWorker(this.#machine, worker)
  }

  acknowledge(worker: string, number: number): void {
    this.#book.setWorker(this.#machine, worker, number)
  }

  /** Nothing has to be handed on here. */
  deadLetters(): readonly DeadLetter[] {
    return []
  }

  async replayDeadLetters(): Promise<number> {
    return 0
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#retry)
    await this.#running
    await this.#history.rotate(this.table, this.#extra()).catch((error) => this.#tell(error))
    await this.#history.close()
  }

  /** The same reference is the same number, asked for at the same time too. */
  #numberFor(message: PurgeMessage): Promise<number> {
    const { reference } = message
    if (reference === undefined) return this.#enqueue(message)
    const known = this.#references.numberOf(reference, this.#now())
    if (known !== undefined) return Promise.resolve(known)
    const underWay = this.#referenced.get(reference)
    if (underWay !== undefined) return underWay
    const number = this.#enqueue(message).finally(() => this.#referenced.delete(reference))
    this.#referenced.set(reference, number)
    return number
  }

  #enqueue(message: PurgeMessage, scheduled?: string): Promise<number> {
    if (this.#stopped) return Promise.reject(new PurgeOverloadError('the purge bus has stopped'))
    if (this.#queue.length >= this.#maxQueued) {
      const many = `${this.#queue.length} purges wait for the journal`
      return Promise.reject(new PurgeOverloadError(`${many}; publish again later`))
    }
    return new Promise((done, failed) => {
      this.#queue.push({ message, scheduled, done, failed })
      this.#running ??= this.#run()
    })
  }

  async #run(): Promise<void> {
    // What else is published in this turn comes along.
    await null
    while (this.#queue.length > 0) {
      await this.#commit(this.#queue.splice(0, MAX_BATCH))
      if (this.#history.isDue(this.table)) {
        await this.#history.rotate(this.table, this.#extra()).catch((error) => this.#tell(error))
      }
    }
    this.#running = null
  }

  /** First on disk, then to the workers: a number that anyone has seen is never given again. */
  async #commit(batch: readonly Queued[]): Promise<void> {
    const at = this.#now()
    const purges = batch.map(({ message }) => ({ number: ++this.#last, message }))
    let failure: unknown
    try {
      const value: JournalValue = {
        kind: 'purges',
        at,
        purges,
        scheduled: batch.map(({ scheduled }) => scheduled ?? ''),
      }
      await this.#history.append(value)
    } catch (error) {
      // A full disk is no reason to go on serving what was purged.
      failure = new PurgeNotKeptError(
        `The purge is in force, but the journal could not be written (${error}): it may be forgotten when Larder ` +
          'starts again. Make room on the disk, then purge again.',
      )
      this.#tell(error)
      this.#oweSnapshot()
    }
    this.#remember(
      purges,
      at,
      batch.map(({ scheduled }) => scheduled ?? ''),
    )
    this.table.apply(purges)
    this.#events.onPurges(purges)
    for (const [index, { done, failed }] of batch.entries()) {
      if (failure === undefined) done(purges[index].number)
      else failed(failure)
    }
  }

  #remember(purges: readonly NumberedPurge[], at: number, scheduled: readonly string[]): void {
    for (const [index, { number, message }] of purges.entries()) {
      if (message.reference !== undefined) this.#references.remember(message.reference, number, at)
      const id = scheduled[index]
      if (id === '') continue
      this.#due.remove(id)
      this.#scheduledNumbers.remember(id, number, at)
    }
  }

  #replay(value: JournalValue): void {
    if (value.kind === 'due') {
      this.#due.add(value.due)
      return
    }
    this.table.apply(value.purges)
    this.#remember(value.purges, value.at, value.scheduled)
    this.#last = Math.max(this.#last, this.table.number)
  }

  async #schedule(message: PurgeMessage): Promise<Receipt> {
    const known = this.#due.all.find((it) => isReference(it.message, message.reference))
    const id = known?.id ?? scheduledId(message)
    if (this.#due.get(id) !== undefined) return scheduledReceipt(id)
    if (this.#due.size >= this.#maxScheduled) {
      throw new PurgeOverloadError(`${this.#due.size} purges are scheduled already`)
    }
    const due = { id, at: message.at ?? 0, message }
    this.#due.add(due)
    try {
      await this.#history.append({ kind: 'due', due } satisfies JournalValue)
    } catch (error) {
      this.#due.remove(id)
      throw new PurgeNotKeptError(`The purge could not be kept until its time: ${error}`)
    }
    this.#wake()
    return scheduledReceipt(id)
  }

  /** Numbers what is due, and comes again for the next. */
  #wake(): void {
    clearTimeout(this.#timer)
    if (this.#stopped) return
    for (const { id, message } of this.#due.dueAt(this.#now())) {
      if (this.#numbering.has(id)) continue
      this.#numbering.add(id)
      this.#enqueue(message, id)
        .catch((error) => this.#events.onError('', `a scheduled purge: ${error}`))
        .finally(() => this.#numbering.delete(id))
    }
    const next = this.#due.nextAt
    if (next === undefined) return
    // What is due and still here is being numbered, or found no room.
    const untilMs = next - this.#now()
    const waitMs = untilMs > 0 ? Math.min(untilMs, MAX_TIMER_MS) : RETRY_MS
    this.#timer = setTimeout(() => this.#wake(), waitMs)
  }

  /** A snapshot holds what the journal could not take. */
  #oweSnapshot(): void {
    this.#owesSnapshot = true
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      if (this.#stopped || !this.#owesSnapshot) return
      this.#owesSnapshot = false
      this.#history.rotate(this.table, this.#extra()).catch(() => this.#oweSnapshot())
    }, RETRY_MS)
  }

  #extra(): EmbeddedExtra {
    return {
      last: this.#last,
      due: this.#due.all,
      references: this.#references.serialise(),
      scheduled: this.#scheduledNumbers.serialise(),
    }
  }

  #tell(error: unknown): void {
    this.#events.onError('', `the journal of purges cannot be written: ${error}`)
  }
}

function isReference(message: PurgeMessage, reference: string | undefined): boolean {
  return reference !== undefined && message.reference === reference
}

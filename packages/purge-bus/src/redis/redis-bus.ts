import { hash } from 'node:crypto'
import { join } from 'node:path'
import { PurgeHistory } from '../journal/purge-history.ts'
import { parsePurge } from '../parse-purge.ts'
import {
  type BusState,
  type BusStatus,
  type DeadLetter,
  type PublishOptions,
  type PurgeBus,
  PurgeOverloadError,
} from '../purge-bus.ts'
import { numberOfId } from '../purge-id.ts'
import type { PurgeMessage } from '../purge-message.ts'
import type { PurgeTable } from '../purge-table.ts'
import type { Receipt } from '../receipt.ts'
import { ReceiptBook } from '../receipt-book.ts'
import { scheduledReceipt } from '../scheduled-receipt.ts'
import { clusterNode } from './cluster-node.ts'
import { Hearing } from './hearing.ts'
import { Heartbeat } from './heartbeat.ts'
import { meetMachines } from './known-machines.ts'
import { LocalPurges } from './local-purges.ts'
import { LogFollower } from './log-follower.ts'
import { Names } from './names.ts'
import { Outbox } from './outbox.ts'
import { type Beat, type Numbering, PurgeLog, readAcknowledgement } from './purge-log.ts'
import { DEFAULTS, type FullOptions, type RedisBusOptions } from './redis-bus-options.ts'
import { connectForCommands, connectForMessages, type RedisClient } from './redis-place.ts'
import { Sender } from './sender.ts'
import { Subscription } from './subscription.ts'
import { Trouble } from './trouble.ts'

/** Acknowledgements of so many ms are told in one message. */
const ACKNOWLEDGE_EVERY_MS = 5
/** After the answer a purge was numbered, its message should have come within this time. */
const HEAR_WITHIN_MS = 25
/** A scheduled purge is remembered for so long after its time. */
const DUE_REMEMBERED_MS = 10_000
const SCHEDULE_AT_ONCE = 256
const FORGET_MACHINES_AFTER_MS = 3_600_000

export async function redisBus(given: RedisBusOptions): Promise<PurgeBus> {
  const options: FullOptions = { ...DEFAULTS, ...given }
  const opened = await PurgeHistory.open({ ...options, sync: true })
  const { maxPending, maxDeadLetters } = options
  const path = join(options.folder, 'outbox.journal')
  const outbox = await Outbox.open(path, maxPending, maxDeadLetters)
  const trouble = new Trouble(options.events)
  const client = connectForCommands(options.redis, (error) => trouble.tell(error))
  const log = new PurgeLog(client, new Names(options.prefix), options)
  const follower = new LogFollower(log, opened, options.events, (error) => trouble.tell(error))
  // So that the damage is found once.
  if (opened.damage !== undefined)
    await opened.history.rotate(follower.table, follower.extra, false)
  return new RedisBus(options, client, log, follower, outbox, trouble)
}

/** The sequence is Redis's; this machine follows it, and keeps what Redis cannot take. */
class RedisBus implements PurgeBus {
  readonly #options: FullOptions
  readonly #names: Names
  readonly #client: RedisClient
  readonly #log: PurgeLog
  readonly #follower: LogFollower
  readonly #outbox: Outbox
  readonly #trouble: Trouble
  readonly #book = new ReceiptBook()
  readonly #sender: Sender
  readonly #local: LocalPurges
  readonly #heartbeat: Heartbeat
  readonly #subscription: Subscription
  readonly #hearing = new Hearing()
  #scheduled = 0
  /** Redis may have forgotten what was scheduled. */
  #owesSchedule = false
  #epoch: string
  #acknowledging: NodeJS.Timeout | undefined
  #reading: NodeJS.Timeout | undefined
  #stopped = false
  #started: (() => void)[] = []

  constructor(
    options: FullOptions,
    client: RedisClient,
    log: PurgeLog,
    follower: LogFollower,
    outbox: Outbox,
    trouble: Trouble,
  ) {
    this.#options = options
    this.#client = client
    this.#log = log
    this.#follower = follower
    this.#outbox = outbox
    this.#trouble = trouble
    this.#names = new Names(options.prefix)
    this.#epoch = follower.standing.epoch
    this.#book.setMachine(options.machine, true, {})
    this.#sender = new Sender(
      log,
      options.maxQueued,
      () => follower.standing,
      (epoch, purges) => follower.offer(epoch, purges),
    )
    this.#local = new LocalPurges({
      outbox,
      log,
      standing: () => follower.standing,
      applyHere: (messages) => follower.applyHere(messages),
      onNumbers: (epoch, purges) => {
        follower.offer(epoch, purges)
        const last = Math.max(0, ...purges.map(({ number }) => number))
        return this.#whenApplied(epoch, last)
      },
      onDue: (id, message) => follower.remember({ id, at: message.at ?? 0, message }),
      onError: (reason) => options.events.onError('', reason),
      now: options.now,
    })
    this.#heartbeat = this.#makeHeartbeat()
    this.#subscription = this.#makeSubscription()
    client.on('ready', () => this.#heartbeat.now())
    // Whatever comes next may be another server.
    client.on('close', () => this.#heartbeat.doubt())
  }

  get table(): PurgeTable {
    return this.#follower.table
  }

  get state(): BusState {
    return this.#heartbeat.state
  }

  status(): BusStatus {
    return {
      state: this.state,
      number: this.table.number,
      pending: this.#outbox.pendingCount,
      pendingAfter: this.#local.pendingAfter,
      deadLetters: this.#outbox.dead.length,
      scheduled: this.#scheduled,
      machines: this.#book.machines,
      isListening: this.#hearing.isListening,
    }
  }

  async start(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#started.push(resolve)
    const { damage } = this.#follower
    if (damage !== undefined) this.#options.events.onError('', damage)
    this.#local.begin()
    const timer = setTimeout(resolve, this.#options.cutOffAfterMs + this.#options.settleMs)
    this.#subscription.start()
    this.#heartbeat.start()
    await promise
    clearTimeout(timer)
  }

  async publish(message: PurgeMessage, options: PublishOptions = {}): Promise<Receipt> {
    const startedAt = performance.now()
    if (this.#stopped) throw new PurgeOverloadError('the purge bus has stopped')
    const waitMs = options.waitMs ?? 0
    const numbering = await this.#number(message)
    if (numbering !== undefined) return this.#receiptFor(numbering, startedAt, waitMs)
    return this.#publishLater(message, startedAt, waitMs)
  }

  async receipt(id: string): Promise<Receipt | null> {
    const kept = this.#outbox.get(id)
    if (kept !== undefined) return this.#keptReceipt(kept.letter, kept.isDead)
    const numbering = this.#local.forwarded(id)
    if (numbering !== undefined && numbering !== 'full') {
      return 'due' in numbering ? this.receipt(numbering.due) : this.receipt(`${numbering.number}`)
    }
    const number = numberOfId(id)
    if (number !== undefined) {
      const isKnown = number <= this.#follower.target
      return isKnown ? this.#book.receipt(id, number) : null
    }
    if (!id.startsWith('at-')) return null
    const found = await this.#log.find(id)
    if (found === undefined) return null
    return found === 'due' ? scheduledReceipt(id) : this.#book.receipt(id, found)
  }

  addWorker(worker: string, number: number): void {
    this.#book.addWorker(this.#options.machine, worker, number)
    // So that the other machines wait for it from now on.
    this.acknowledge(worker, number)
    this.#heartbeat.now()
  }

  removeWorker(worker: string): void {
    this.#book.removeWorker(this.#options.machine, worker)
    this.#heartbeat.now()
  }

  acknowledge(worker: string, number: number): void {
    const { machine } = this.#options
    this.#book.setWorker(machine, worker, number)
    if (this.#stopped) return
    this.#acknowledging ??= setTimeout(() => {
      this.#acknowledging = undefined
      if (!this.#log.connected) return
      // The next heartbeat says it as well.
      this.#log.acknowledge(machine, this.#book.workersOf(machine)).catch(() => {})
    }, ACKNOWLEDGE_EVERY_MS)
  }

  deadLetters(): readonly DeadLetter[] {
    return this.#outbox.dead
  }

  async replayDeadLetters(ids?: readonly string[]): Promise<number> {
    const revived = await this.#outbox.revive(ids ?? this.#outbox.dead.map(({ id }) => id))
    this.#heartbeat.now()
    return revived
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    for (const timer of [this.#acknowledging, this.#reading]) clearTimeout(timer)
    this.#heartbeat.stop()
    this.#subscription.stop()
    await this.#heartbeat.ended()
    if (this.#log.connected) {
      // Otherwise the others find out by themselves.
      await this.#log.forgetMachine(this.#options.machine).catch(() => {})
    }
    this.#client.disconnect()
    await this.#follower.close()
    await this.#outbox.close()
  }

  /** Undefined when Redis cannot be told now, or may have forgotten it before this machine could remember it. */
  async #number(message: PurgeMessage, once?: { id: string; heard: number }) {
    if (this.state.kind !== 'connected' || !this.#log.connected) return undefined
    try {
      const sent = await this.#sender.send(message, once)
      if (sent === 'full') return sent
      if ('due' in sent) {
        this.#follower.remember({ id: sent.due, at: message.at ?? 0, message })
        return sent
      }
      return (await this.#whenApplied(sent.epoch, sent.number)) ? sent : undefined
    } catch (error) {
      if (error instanceof PurgeOverloadError) throw error
      this.#heartbeat.doubt()
      this.#heartbeat.now()
      return undefined
    }
  }

  async #receiptFor(numbering: Numbering, startedAt: number, waitMs: number): Promise<Receipt> {
    if (numbering === 'full') throw new PurgeOverloadError('too many purges are scheduled already')
    if ('due' in numbering) {
      this.#heartbeat.now()
      return scheduledReceipt(numbering.due)
    }
    const { number } = numbering
    this.#book.track(number, startedAt)
    await this.#book.wait(number, waitMs - (performance.now() - startedAt))
    return this.#book.receipt(`${number}`, number)
  }

  async #publishLater(message: PurgeMessage, startedAt: number, waitMs: number): Promise<Receipt> {
    const { reference } = message
    const known = reference === undefined ? undefined : this.#outbox.withReference(reference)
    const letter = known ?? (await this.#local.keep(message))
    const leftMs = waitMs - (performance.now() - startedAt)
    const numbering = await this.#local.whenForwarded(letter.id, leftMs)
    if (numbering === undefined) return this.#keptReceipt(letter, false)
    return this.#receiptFor(numbering, startedAt, waitMs)
  }

  #keptReceipt(letter: DeadLetter, isDead: boolean): Receipt {
    const { id } = letter
    const number = this.#local.numberHere(id) ?? Number.POSITIVE_INFINITY
    const receipt = this.#book.ownReceipt(id, this.#options.machine, number)
    return isDead ? { ...receipt, state: 'dead-letter' } : receipt
  }

  #makeHeartbeat(): Heartbeat {
    const { machine, beatEveryMs, cutOffAfterMs, events } = this.#options
    return new Heartbeat({
      everyMs: beatEveryMs,
      cutOffAfterMs,
      ask: () => {
        this.#hearing.asks()
        return this.#log.beat(this.#follower.standing, machine, this.#book.workersOf(machine))
      },
      onBeat: (beat) => this.#onBeat(beat),
      onState: (state) => {
        events.onState(state)
        this.#endStart()
      },
      onError: (error) => {
        // Why there is no connection has been told by who tries to make one.
        if (this.#log.connected) this.#trouble.tell(error)
        this.#local.applyDue()
        this.#expirePending()
      },
    })
  }

  async #onBeat(beat: Beat): Promise<boolean> {
    await this.#follower.meet(beat)
    const { epoch, position } = this.#follower.standing
    if (epoch !== this.#epoch) {
      // Messages may come from another server from now on, or from two.
      if (this.#epoch !== '') this.#subscription.restart()
      this.#epoch = epoch
      this.#owesSchedule = true
    }
    this.#hearing.answers(beat.seq)
    this.#endStart()
    this.#meetMachines(beat)
    this.#scheduled = beat.scheduled
    const isWhole = epoch === beat.epoch && position >= beat.seq && beat.settlesInMs === 0
    if (isWhole) {
      await this.#scheduleAgain()
      // That takes as long as it takes; this machine itself misses nothing meanwhile.
      this.#local.forward().catch((error) => this.#trouble.tell(error))
    } else if (this.#follower.isBehind) this.#heartbeat.now()
    this.#local.applyDue()
    this.#expirePending()
    const next = Math.min(
      beat.settlesInMs > 0 ? beat.settlesInMs : Number.POSITIVE_INFINITY,
      beat.nextDueInMs ?? Number.POSITIVE_INFINITY,
    )
    if (next < this.#options.beatEveryMs) setTimeout(() => this.#heartbeat.now(), next + 1).unref()
    return isWhole
  }

  /** What is scheduled already, or has had its time, stays as it is. */
  async #scheduleAgain(): Promise<void> {
    const { now } = this.#options
    if (!this.#owesSchedule) this.#follower.forgetDue(now() - DUE_REMEMBERED_MS)
    const { due, standing } = this.#follower
    for (let at = 0; this.#owesSchedule && at < due.length; at += SCHEDULE_AT_ONCE) {
      const list = due.slice(at, at + SCHEDULE_AT_ONCE)
      const again = list.map(({ message }) => ({ message, text: JSON.stringify(message) }))
      if (typeof (await this.#log.publish(standing, again)) === 'string') return
    }
    this.#owesSchedule = false
  }

  /** It has started when it misses nothing, messages without a number included. */
  #endStart(): void {
    if (this.state.kind !== 'connected' || !this.#hearing.isSure) return
    for (const resolve of this.#started.splice(0)) resolve()
  }

  #meetMachines({ machines }: Beat): void {
    const { machine, cutOffAfterMs } = this.#options
    meetMachines(this.#book, machines, cutOffAfterMs, machine)
    for (const { name, silentMs } of machines) {
      if (silentMs <= FORGET_MACHINES_AFTER_MS) continue
      // Should it fail, the next heartbeat finds it again.
      this.#log.forgetMachine(name).catch(() => {})
    }
  }

  #expirePending(): void {
    const { maxPendingAgeMs, now, events } = this.#options
    const count = this.#outbox.expire(now() - maxPendingAgeMs)
    if (count === 0) return
    events.onError('', `${count} purges have waited for Redis too long, and became dead letters`)
  }

  #makeSubscription(): Subscription {
    const { channel, numbered, acks } = this.#names
    return new Subscription({
      channels: [channel, numbered, acks],
      connect: () =>
        connectForMessages(this.#options.redis, clusterNode(this.#client, this.#names)),
      onMessage: (from, text) => {
        if (from === numbered) this.#onNumbered(text)
        else if (from === acks) this.#onAcknowledgement(text)
        else void this.#onRaw(text)
      },
      onSubscribed: () => {
        this.#hearing.subscribed()
        this.#heartbeat.now()
      },
      onLost: () => this.#hearing.lost(),
      onError: (error) => this.#trouble.tell(error),
    })
  }

  #onNumbered(text: string): void {
    const heard = this.#follower.hear(text)
    if (heard === null) {
      this.#heartbeat.now()
      return
    }
    this.#hearing.hears(heard.last)
    if (!heard.isWhole) this.#catchUp()
  }

  /** A number was given: what lies before it should be heard of at once, or else be read. */
  #whenApplied(epoch: string, number: number): Promise<boolean> {
    if (this.#follower.isBehind) {
      this.#reading ??= setTimeout(() => {
        this.#reading = undefined
        if (this.#follower.isBehind) this.#catchUp()
      }, HEAR_WITHIN_MS)
    }
    return this.#follower.whenApplied(epoch, number)
  }

  #catchUp(): void {
    this.#follower.catchUp().then(
      () => {
        this.#hearing.hears(this.#follower.standing.position)
        if (this.#follower.isBehind) this.#heartbeat.now()
      },
      (error) => this.#trouble.tell(error),
    )
  }

  #onAcknowledgement(text: string): void {
    const said = readAcknowledgement(text)
    if (said === null || said.machine === this.#options.machine) return
    for (const [worker, number] of Object.entries(said.workers)) {
      this.#book.setWorker(said.machine, worker, number)
    }
  }

  /** Someone has published a message without a number. */
  async #onRaw(text: string): Promise<void> {
    const heard = this.#hearing.highest
    const parsed = parsePurge(text, this.#options.now())
    if (!parsed.ok) {
      this.#options.events.onError(text.slice(0, 1_000), parsed.reason)
      this.#log.complain(text, parsed.reason).catch((error) => this.#trouble.tell(error))
      return
    }
    try {
      const once = { id: hash('sha256', text, 'hex').slice(0, 32), heard }
      const numbering = await this.#number(parsed.message, once)
      if (numbering === undefined) await this.#local.keep(parsed.message)
      else if (numbering === 'full') throw new Error('too many purges are scheduled already')
      else if ('number' in numbering) {
        this.#hearing.hears(numbering.number)
      } else this.#heartbeat.now()
    } catch (error) {
      this.#options.events.onError(text.slice(0, 1_000), `this purge is not in force: ${error}`)
    }
  }
}

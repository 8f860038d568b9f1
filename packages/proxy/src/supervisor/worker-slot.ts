import type { TicketKeySet } from '@larder/certs'
import type { ChallengeAnswers } from '@larder/certs/challenges'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import { BackOff } from './back-off.ts'
import type { CertificateService } from './certificates/certificate-service.ts'
import type { ListeningSockets } from './listening-sockets.ts'
import type { Identity, PeerPlace, ToWorker, WorkerBeat, WorkerListener } from './messages.ts'
import { pinToCore } from './pin.ts'
import { DEFAULT_WAIT_MS, type PurgeService } from './purge-service.ts'
import { type WorkerExit, WorkerHandle } from './worker-handle.ts'

/**
 * Connections that the kernel gives to a slot without a worker wait in its queue for the next one; closing its sockets
 * would reset those that wait already. For longer than this they had better go to the other slots.
 */
const MAX_QUEUE_WAIT_MS = 1000

export type SlotState = 'starting' | 'serving' | 'waiting' | 'stopped'

export interface SlotSurroundings {
  readonly logger: Logger
  readonly sockets: ListeningSockets
  readonly identity: Identity | undefined
  readonly peers: PeerPlace
  readonly purges: PurgeService
  /** What validating authorities may ask for now. */
  challenges(): ChallengeAnswers
  readonly certificates: CertificateService
  /** The configuration that a worker should have now. */
  config(): Config
  /** Likewise, of session tickets. */
  ticketKeys(): TicketKeySet
  /** A worker's numbers; `workerId` differs between the successive workers of a slot. */
  onBeat(workerId: number, beat: WorkerBeat): void
  /** Ended, by `signal` if it was one. */
  onGone(workerId: number, signal: string | null): void
  /** The worker of `slot` has invalidated these keys; the others have yet to. */
  onInvalidated(slot: number, keys: readonly string[]): void
}

/** One place for a worker, and whoever is in it: starts, watches, replaces. */
export class WorkerSlot {
  readonly index: number
  restarts = 0
  lastError: string | undefined
  #state: SlotState = 'stopped'
  readonly #surroundings: SlotSurroundings
  readonly #backOff = new BackOff()
  #current: WorkerHandle | undefined
  /** Predecessors that finish what they have under way, and a successor that is not ready yet. */
  readonly #draining = new Set<WorkerHandle>()
  #retryTimer: NodeJS.Timeout | undefined
  #isStopping = false
  #hasServed = false

  constructor(index: number, surroundings: SlotSurroundings) {
    this.index = index
    this.#surroundings = surroundings
  }

  get state(): SlotState {
    return this.#state
  }

  get isCrashLoop(): boolean {
    return this.#backOff.isCrashLoop && this.#state !== 'stopped'
  }

  get worker(): WorkerHandle | undefined {
    return this.#current
  }

  get drainingCount(): number {
    return this.#draining.size
  }

  /** The first start: rejects when the worker cannot serve, and leaves it to the caller to give up. */
  async start(): Promise<void> {
    const worker = this.#fork()
    this.#current = worker
    this.#state = 'starting'
    void this.#superviseExit(worker)
    await this.#bringUp(worker)
  }

  /** A new worker on the same sockets; when it serves, the old one drains. Rejects, keeping the old one. */
  async replace(deadlineMs: number): Promise<void> {
    const old = this.#current
    if (old === undefined || this.#state !== 'serving') return
    const worker = this.#fork()
    // While it starts, it is one more process to be stopped with the others.
    this.#draining.add(worker)
    try {
      await this.#setUp(worker)
    } catch (error) {
      worker.kill(undefined)
      throw error
    } finally {
      this.#draining.delete(worker)
    }
    if (this.#current !== old || this.#isStopping) {
      // The old one has died meanwhile and has its successor already, or none is wanted any more.
      worker.kill(undefined)
      return
    }
    this.#draining.add(old)
    this.#current = worker
    void this.#superviseExit(worker)
    await old.drain(deadlineMs)
    this.#draining.delete(old)
  }

  /** New configuration and listeners; rejects with the worker's reason. */
  async configure(config: Config): Promise<void> {
    if (this.#current === undefined || this.#state !== 'serving') return
    await this.#current.configure(config)
  }

  async openListeners(listeners: readonly WorkerListener[]): Promise<void> {
    const worker = this.#current
    if (worker === undefined || this.#state !== 'serving') return
    for (const listener of listeners) {
      const socket = this.#surroundings.sockets.forListener(this.index, listener)
      if (socket !== undefined) await worker.listen(socket)
    }
  }

  closeListeners(listeners: readonly WorkerListener[]): void {
    for (const { address } of listeners) {
      this.#current?.closeListener(address)
    }
  }

  /** No replacement from now on; resolves when the last process of this slot has ended. */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true
    this.#state = 'stopped'
    clearTimeout(this.#retryTimer)
    const workers = [...this.#draining]
    if (this.#current !== undefined) workers.push(this.#current)
    await Promise.all(workers.map((worker) => worker.drain(deadlineMs)))
  }

  /** Resolves when whoever accepts connections here knows them. */
  async tellChallenges(answers: ChallengeAnswers): Promise<void> {
    const workers = [...this.#draining]
    if (this.#current !== undefined) workers.push(this.#current)
    await Promise.all(workers.map((worker) => worker.challenges(answers)))
  }

  invalidate(keys: readonly string[]): void {
    this.#current?.invalidate(keys)
  }

  setTicketKeys(keys: TicketKeySet): void {
    this.#current?.send({ type: 'ticket-keys', keys })
  }

  kill(): void {
    this.#isStopping = true
    clearTimeout(this.#retryTimer)
    this.#current?.kill(undefined)
    for (const worker of this.#draining) worker.kill(undefined)
  }

  #fork(): WorkerHandle {
    const { logger, onBeat, onGone, onInvalidated, purges, certificates } = this.#surroundings
    const worker: WorkerHandle = new WorkerHandle(this.index, logger, {
      onBeat: (beat) => {
        onBeat(worker.pid, beat)
        this.#backOff.recovered(performance.now() - worker.startedAt)
      },
      onInvalidated: (keys) => onInvalidated(this.index, keys),
      onPurged: (number) => purges.acknowledge(nameOf(worker), number),
      onPurge: (message) => purges.publish(message, DEFAULT_WAIT_MS),
      onAskCertificate: (pattern) => certificates.ask(pattern),
      onCertificatesSeen: (number) => certificates.seen(nameOf(worker), number),
    })
    pinToCore(worker.pid, this.index, logger)
    void worker.exited.then(({ signal }) => {
      onGone(worker.pid, signal)
      purges.leave(nameOf(worker))
      certificates.leave(nameOf(worker))
    })
    return worker
  }

  async #bringUp(worker: WorkerHandle): Promise<void> {
    try {
      await this.#setUp(worker)
      if (this.#current !== worker || this.#isStopping) return
      this.#hasServed = true
      this.#state = 'serving'
      this.lastError = undefined
    } catch (error) {
      this.lastError = error instanceof Error ? error.message : String(error)
      worker.kill(undefined)
      throw error
    }
  }

  async #setUp(worker: WorkerHandle): Promise<void> {
    const { sockets, identity, peers, purges, certificates, config, ticketKeys } =
      this.#surroundings
    const receiver = { name: nameOf(worker), send: (message: ToWorker) => worker.send(message) }
    const table = purges.join(receiver)
    const names = certificates.join(receiver)
    const started = worker.start(config(), peers, table, names, ticketKeys(), identity, () =>
      sockets.forSlot(this.index),
    )
    // Known to the worker before it accepts anything.
    purges.tellState(receiver)
    void worker.challenges(this.#surroundings.challenges())
    await started
    // A reload or a rotation during the start has gone past this worker.
    worker.send({ type: 'ticket-keys', keys: ticketKeys() })
    while (worker.config !== config()) await worker.configure(config())
    const wanted = sockets.forSlot(this.index)
    for (const address of worker.listening) {
      if (!wanted.some((socket) => socket.listener.address === address)) {
        worker.closeListener(address)
      }
    }
    for (const socket of wanted) {
      if (!worker.listening.has(socket.listener.address)) await worker.listen(socket)
    }
  }

  async #superviseExit(worker: WorkerHandle): Promise<void> {
    const exit = await worker.exited
    if (this.#isStopping || this.#current !== worker) return
    this.#current = undefined
    // A worker that has never served will not do so the next time: whoever called `start` hears why.
    if (!this.#hasServed) {
      this.#state = 'stopped'
      return
    }
    this.restarts++
    const delayMs = this.#backOff.delayAfterDeathMs(exit.livedMs)
    this.#report(worker, exit, delayMs)
    this.#state = 'waiting'
    if (delayMs === 0) {
      this.#restart()
      return
    }
    if (delayMs > MAX_QUEUE_WAIT_MS) this.#surroundings.sockets.closeSlot(this.index)
    this.#retryTimer = setTimeout(() => this.#restart(), delayMs)
  }

  #restart(): void {
    const { sockets, logger } = this.#surroundings
    try {
      sockets.reopenSlot(this.index)
    } catch (error) {
      this.lastError = error instanceof Error ? error.message : String(error)
      logger.error({ slot: this.index, err: error }, 'the sockets of a worker cannot be reopened')
      this.#retryTimer = setTimeout(() => this.#restart(), this.#backOff.delayAfterDeathMs(0))
      return
    }
    this.start().catch((error: unknown) => {
      logger.error({ slot: this.index, err: error }, 'a worker could not start')
    })
  }

  #report(worker: WorkerHandle, exit: WorkerExit, delayMs: number): void {
    const details = {
      slot: this.index,
      workerPid: worker.pid,
      status: exit.code,
      signal: exit.signal,
      livedMs: Math.round(exit.livedMs),
      restartInMs: delayMs,
    }
    const { logger } = this.#surroundings
    if (this.#backOff.isCrashLoop) logger.error(details, 'crash loop: worker ended again')
    else logger.error(details, 'worker ended and is replaced')
  }
}

/** In receipts. */
function nameOf({ slot, pid }: WorkerHandle): string {
  return `worker ${slot} (pid ${pid})`
}

import cluster, { type Worker } from 'node:cluster'
import type { CertificateSet, NamesImage, TicketKeySet } from '@larder/certs'
import type { ChallengeAnswers } from '@larder/certs/challenges'
import type { PurgeMessage } from '@larder/purge-bus'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import type { PurgeAnswer } from '../purge/purge-request.ts'
import type { Census } from '../storage/memory-census.ts'
import { compileCacheFolder } from './compile-cache.ts'
import type { SlotSocket } from './listening-sockets.ts'
import type {
  CensusQuery,
  FromWorker,
  Identity,
  PeerPlace,
  ToWorker,
  WorkerBeat,
} from './messages.ts'
import { runQueueWaitMs } from './run-queue.ts'

/** From fork to the last listener open. */
const START_TIMEOUT_MS = 30_000
const CONFIGURE_TIMEOUT_MS = 30_000
/** An authority that is not answered by one worker asks again. */
const CHALLENGES_TIMEOUT_MS = 2_000
/** A walk through memory ends by itself after half of this. */
const CENSUS_TIMEOUT_MS = 10_000
/** Without a beat for this long a worker is taken for stuck. */
const BEAT_TIMEOUT_MS = 5000

export interface WorkerExit {
  readonly code: number | null
  readonly signal: string | null
  readonly livedMs: number
}

/** What a worker tells without being asked. */
export interface WorkerEvents {
  onBeat(beat: WorkerBeat): void
  onInvalidated(keys: readonly string[]): void
  /** All purges up to this number are in force there. */
  onPurged(number: number): void
  onPurge(message: PurgeMessage): Promise<PurgeAnswer>
  /** A client wants the certificate of this name or wildcard. */
  onAskCertificate(pattern: string): Promise<CertificateSet | null>
  /** Changes of certificates up to this number are known there. */
  onCertificatesSeen(number: number): void
}

interface Waiting {
  resolve(): void
  reject(error: Error): void
}

/** One worker process as the primary sees it, from fork to exit. */
export class WorkerHandle {
  readonly slot: number
  readonly startedAt = performance.now()
  readonly exited: Promise<WorkerExit>
  lastBeat: WorkerBeat | undefined
  /** What it was last told, and has acknowledged. */
  config: Config | undefined
  /** Listeners that it accepts on. */
  readonly listening = new Set<string>()
  readonly #worker: Worker
  readonly #logger: Logger
  readonly #waiting = new Map<string, Waiting>()
  readonly #events: WorkerEvents
  #watchdog: NodeJS.Timeout
  #isKilled = false
  #hasStarted = false
  #hasEnded = false
  #nextConfigureId = 1
  #nextChallengesId = 1
  readonly #censuses = new Map<number, (census: Census | null) => void>()
  #nextCensusId = 1

  constructor(slot: number, logger: Logger, events: WorkerEvents) {
    this.slot = slot
    this.#events = events
    this.#worker = cluster.fork({
      UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? '8',
      NODE_COMPILE_CACHE: compileCacheFolder(),
    })
    this.#logger = logger.child({ slot, workerPid: this.pid })
    this.#watchdog = this.#watch(START_TIMEOUT_MS)
    // The worker's own side says which messages there are; nobody else writes to this channel.
    this.#worker.on('message', (message) => this.#received(message as FromWorker))
    this.#worker.on('error', (error) => this.#logger.warn({ err: error }, 'worker channel failed'))
    this.exited = new Promise((resolve) => {
      this.#worker.on('exit', (code, signal) => {
        this.#hasEnded = true
        clearTimeout(this.#watchdog)
        const reason = signal === null ? `status ${code}` : `signal ${signal}`
        for (const waiting of this.#waiting.values()) {
          waiting.reject(new Error(`The worker ended with ${reason}.`))
        }
        this.#waiting.clear()
        for (const settle of this.#censuses.values()) settle(null)
        resolve({ code, signal, livedMs: performance.now() - this.startedAt })
      })
    })
  }

  get pid(): number {
    return this.#worker.process.pid ?? 0
  }

  /** Resolves when it accepts on every socket; rejects when it said why it cannot, or ended. */
  async start(
    config: Config,
    peers: PeerPlace,
    purgeTable: Uint8Array,
    certificateNames: NamesImage,
    ticketKeys: TicketKeySet,
    identity: Identity | undefined,
    sockets: () => readonly SlotSocket[],
  ): Promise<void> {
    const started = this.#wait('started')
    const { slot } = this
    const facts = { slot, config, peers, purgeTable, certificateNames, ticketKeys, identity }
    this.#send({ type: 'start', ...facts })
    await started
    this.config = config
    await Promise.all(sockets().map((socket) => this.listen(socket)))
  }

  async listen(socket: SlotSocket): Promise<void> {
    const { listener, handle, options } = socket
    const listening = this.#wait(`listening ${listener.address}`)
    this.#send(
      { type: 'listen', listener, options: handle === undefined ? options : undefined },
      handle,
    )
    await listening
    this.listening.add(listener.address)
  }

  closeListener(address: string): void {
    this.listening.delete(address)
    this.#send({ type: 'close-listener', address })
  }

  async configure(config: Config): Promise<void> {
    const id = this.#nextConfigureId++
    const configured = this.#wait(`configured ${id}`)
    this.#send({ type: 'configure', id, config })
    const timer = setTimeout(
      () => this.#settle(`configured ${id}`, 'It did not answer in time.'),
      CONFIGURE_TIMEOUT_MS,
    )
    try {
      await configured
      this.config = config
    } finally {
      clearTimeout(timer)
    }
  }

  /** Resolves when it knows them, has ended or does not say. */
  async challenges(answers: ChallengeAnswers): Promise<void> {
    const id = this.#nextChallengesId++
    const key = `challenges ${id}`
    const known = this.#wait(key)
    this.#send({ type: 'challenges', id, answers })
    const timer = setTimeout(() => this.#settle(key, undefined), CHALLENGES_TIMEOUT_MS)
    // One that has ended is asked nothing.
    await known.catch(() => {})
    clearTimeout(timer)
  }

  /** Keys that another worker has invalidated. */
  invalidate(keys: readonly string[]): void {
    if (this.#hasStarted) this.#send({ type: 'invalidate', keys })
  }

  /** null when it ends or does not answer in time. */
  census(query: CensusQuery): Promise<Census | null> {
    if (!this.#hasStarted || this.#hasEnded) return Promise.resolve(null)
    const id = this.#nextCensusId++
    return new Promise((resolve) => {
      const settle = (census: Census | null) => {
        clearTimeout(timer)
        this.#censuses.delete(id)
        resolve(census)
      }
      const timer = setTimeout(() => settle(null), CENSUS_TIMEOUT_MS)
      this.#censuses.set(id, settle)
      this.#send({ type: 'take-census', id, query })
    })
  }

  /** Stops accepting, finishes what is under way, ends; killed when it is not done in time. */
  async drain(deadlineMs: number): Promise<WorkerExit> {
    this.#send({ type: 'drain', deadlineMs })
    // The worker cuts what is left at the deadline by itself; a second more for it to end.
    const timer = setTimeout(
      () => this.kill('it did not end within its drain deadline'),
      deadlineMs + 1000,
    )
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }

  kill(reason: string | undefined): void {
    if (this.#isKilled) return
    this.#isKilled = true
    if (reason !== undefined) this.#logger.error({ reason }, 'killing worker')
    this.#worker.process.kill('SIGKILL')
  }

  #received(message: FromWorker): void {
    switch (message.type) {
      case 'beat':
        this.lastBeat = message
        if (this.#hasStarted) this.#showedLife()
        this.#events.onBeat(message)
        break
      case 'started':
        this.#hasStarted = true
        this.#showedLife()
        this.#settle('started', undefined)
        break
      case 'start-failed':
        this.#settle('started', message.message)
        break
      case 'listening':
        this.#settle(`listening ${message.address}`, undefined)
        break
      case 'listen-failed':
        this.#settle(`listening ${message.address}`, message.message)
        break
      case 'configured':
        this.#settle(`configured ${message.id}`, message.error)
        break
      case 'invalidated':
        this.#events.onInvalidated(message.keys)
        break
      case 'purged':
        this.#events.onPurged(message.number)
        break
      case 'purge': {
        const { id } = message
        void this.#events
          .onPurge(message.message)
          .then((answer) => this.send({ type: 'purge-answer', id, answer }))
        break
      }
      case 'challenges-known':
        this.#settle(`challenges ${message.id}`, undefined)
        break
      case 'ask-certificate': {
        const { id, pattern } = message
        void this.#events
          .onAskCertificate(pattern)
          .then((set) => this.send({ type: 'certificate', id, set }))
        break
      }
      case 'certificates-seen':
        this.#events.onCertificatesSeen(message.number)
        break
      case 'census':
        this.#censuses.get(message.id)?.(message.census)
        break
      case 'drained':
        break
    }
  }

  send(message: ToWorker): void {
    this.#send(message)
  }

  #send(message: ToWorker, handle?: SlotSocket['handle']): void {
    if (!this.#worker.isConnected()) return
    // `send` takes Node's internal TCP handle at run time; its type names only the public classes around it.
    this.#worker.send(
      message,
      handle as unknown as import('node:child_process').SendHandle,
      (error) => {
        // A worker that has just ended: its exit is what is acted upon.
        if (error !== null) this.#logger.debug({ err: error }, 'a message did not reach the worker')
      },
    )
  }

  #wait(key: string): Promise<void> {
    if (this.#hasEnded) return Promise.reject(new Error('The worker has ended.'))
    return new Promise((resolve, reject) => this.#waiting.set(key, { resolve, reject }))
  }

  #settle(key: string, error: string | undefined): void {
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    if (error === undefined) waiting?.resolve()
    else waiting?.reject(new Error(error))
  }

  #showedLife(): void {
    clearTimeout(this.#watchdog)
    if (!this.#hasEnded) this.#watchdog = this.#watch(BEAT_TIMEOUT_MS)
  }

  #watch(timeoutMs: number, isLastChance = false): NodeJS.Timeout {
    const waitedMs = runQueueWaitMs(this.pid)
    const timer = setTimeout(() => {
      // First what has come while this process was busy: a beat may be among it.
      setImmediate(() => {
        if (timer !== this.#watchdog || this.#hasEnded) return
        const starvedMs = runQueueWaitMs(this.pid) - waitedMs
        if (isLastChance || starvedMs < timeoutMs / 2) {
          return this.kill(`no sign of life for ${timeoutMs} ms`)
        }
        this.#logger.warn(
          { starvedMs: Math.round(starvedMs) },
          'a worker gets too little of its core',
        )
        this.#watchdog = this.#watch(timeoutMs, true)
      })
    }, timeoutMs)
    return timer
  }
}

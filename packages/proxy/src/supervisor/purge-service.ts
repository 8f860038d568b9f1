import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import {
  type BusStatus,
  embeddedBus,
  type PurgeBus,
  type PurgeBusEvents,
  type PurgeMessage,
  type Receipt,
  redisBus,
} from '@larder/purge-bus'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import { resolveUrlBy } from '../pipeline/purge-keys.ts'
import type { PurgeAnswer } from '../purge/purge-request.ts'
import type { ToWorker } from './messages.ts'

/** How often the workers hear that the primary lives, and what it knows of the bus. */
const TELL_STATE_MS = 500
/** The default of a purge that waits. */
export const DEFAULT_WAIT_MS = 5_000

/** A worker as the bus sees it. */
export interface PurgeReceiver {
  /** No other process of this machine has it. */
  readonly name: string
  send(message: ToWorker): void
}

export interface PurgeServiceOptions {
  readonly config: Config
  readonly stateFolder: string
  readonly logger: Logger
}

/** The purge bus in the primary, and the way from there to the workers: every worker applies purges in one order. */
export class PurgeService {
  readonly #options: PurgeServiceOptions
  readonly #receivers = new Map<string, PurgeReceiver>()
  #config: Config
  #bus: PurgeBus | null = null
  #timer: NodeJS.Timeout | undefined

  constructor(options: PurgeServiceOptions) {
    this.#options = options
    this.#config = options.config
  }

  /** Resolves when the bus knows all that it can know for now. */
  async start(): Promise<void> {
    const { config, stateFolder, logger } = this.#options
    const events = this.#events()
    const table = { resolve: resolveUrlBy(config) }
    // Beside what is stored: who has lost one has lost the other.
    const folder = join(config.disk?.path ?? stateFolder, 'purges')
    const machine = machineName(folder)
    const common = { folder, machine, table, events }
    this.#bus = await (config.redis === undefined
      ? embeddedBus(common)
      : redisBus({
          ...common,
          redis: placeOf(config.redis),
          prefix: config.redis.prefix,
          maxPending: config.purge.maxPending,
          maxPendingAgeMs: config.purge.maxPendingAgeMs,
        }))
    await this.#bus.start()
    const { state, number } = this.#bus.status()
    logger.info({ machine, number, state: state.kind }, 'purge bus is up')
    this.#timer = setInterval(() => this.#tellState(), TELL_STATE_MS)
  }

  #events(): PurgeBusEvents {
    const { logger } = this.#options
    return {
      onPurges: (purges) => this.#tell({ type: 'purges', purges }),
      onFloor: (number, reason) => {
        logger.warn({ number, reason }, 'everything stored before this number counts as purged')
        this.#tell({ type: 'purge-floor', number })
      },
      onState: (state) => {
        if (state.kind === 'connected') logger.info('purge bus is connected')
        else logger.warn({ state: state.kind }, 'purge bus: purges of others may be missing')
        this.#tellState()
      },
      onError: (text, reason) => {
        if (text === '') logger.error({ reason }, 'purge bus is in trouble')
        else logger.warn({ text: text.slice(0, 200), reason }, 'a purge is not understood')
      },
    }
  }

  #tell(message: ToWorker): void {
    for (const receiver of this.#receivers.values()) receiver.send(message)
  }

  #tellState(): void {
    this.#tell(this.#stateMessage())
  }

  #stateMessage(): ToWorker {
    const { state, pendingAfter } = this.#opened.status()
    return { type: 'purge-bus', state: state.kind, pendingAfter }
  }

  /** To a worker that has been given what `join` returned. */
  tellState(receiver: PurgeReceiver): void {
    receiver.send(this.#stateMessage())
  }

  get #opened(): PurgeBus {
    if (this.#bus === null) throw new Error('the purge bus is not open')
    return this.#bus
  }

  /**
   * From now on the worker is told of every purge; what is returned are those before, to be sent to it first and in
   * this turn.
   */
  join(receiver: PurgeReceiver): Uint8Array {
    const bus = this.#opened
    this.#receivers.set(receiver.name, receiver)
    bus.addWorker(receiver.name, bus.table.number)
    return bus.table.serialise()
  }

  leave(name: string): void {
    if (this.#receivers.delete(name)) this.#opened.removeWorker(name)
  }

  acknowledge(name: string, number: number): void {
    this.#opened.acknowledge(name, number)
  }

  /** `waitMs`: how long to wait for the workers of all machines; 0 = not at all. */
  async publish(message: PurgeMessage, waitMs: number): Promise<PurgeAnswer> {
    try {
      const receipt = await this.#opened.publish(message, { waitMs })
      this.#options.logger.info(
        { purge: message.type, id: receipt.id, number: receipt.number },
        'purge',
      )
      return { status: receipt.state === 'applied' ? 200 : 202, body: { ...readable(receipt) } }
    } catch (error) {
      const { code, message: detail } = error as Error & { code?: string }
      const status = code === 'PURGE_OVERLOAD' ? 503 : 500
      if (status === 500) this.#options.logger.error({ err: error }, 'a purge failed')
      return {
        status,
        body: { type: 'about:blank', title: 'The purge failed.', status, code, detail },
      }
    }
  }

  async receipt(id: string): Promise<Receipt | null> {
    const receipt = await this.#opened.receipt(id)
    return receipt === null ? null : readable(receipt)
  }

  deadLetters() {
    return this.#opened.deadLetters()
  }

  replayDeadLetters(ids?: readonly string[]): Promise<number> {
    return this.#opened.replayDeadLetters(ids)
  }

  /** Null before the start. */
  status(): BusStatus | null {
    return this.#bus?.status() ?? null
  }

  get tableStats() {
    return this.#opened.table.stats
  }

  /** Purges in force (`PurgeTable.serialise`). */
  get serialisedTable(): Uint8Array {
    return this.#opened.table.serialise()
  }

  /** What a URL names by the configuration in force. */
  get resolve() {
    return resolveUrlBy(this.#config)
  }

  configure(config: Config): void {
    this.#config = config
    this.#bus?.table.resolveAgain(this.resolve)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#bus?.stop()
  }
}

/** Times to the microsecond: more digits mean nothing. */
function readable(receipt: Receipt): Receipt {
  const { slowestMs } = receipt
  return slowestMs === null ? receipt : { ...receipt, slowestMs: Math.round(slowestMs * 1e3) / 1e3 }
}

function placeOf(redis: NonNullable<Config['redis']>) {
  const { cluster, sentinels } = redis
  const optional = Object.entries({
    url: redis.url,
    sentinelName: redis.sentinelName,
    username: redis.username,
    password: redis.password,
    caPem: redis.caPem,
  }).filter(([, value]) => value !== undefined)
  return { cluster, sentinels, ...Object.fromEntries(optional) }
}

/** Several proxies may run on one machine, each from a folder of its own. */
function machineName(folder: string): string {
  const mark = createHash('sha256').update(folder).digest('hex').slice(0, 6)
  return `${hostname()}-${mark}`
}

import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { PurgeMessage } from '@larder/purge-bus'
import type { Config, TenantConfig } from '../config/config.ts'
import type { LoadResult } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import type { Logger } from '../observability/logger.ts'
import {
  type MergedMetrics,
  type MergedSeries,
  MetricsMerge,
} from '../observability/metrics-merge.ts'
import { setIndexAside } from '../storage/disk/index-file.ts'
import { type Census, mergeCensuses } from '../storage/memory-census.ts'
import { AcmeService } from './acme-service.ts'
import { CertificateService } from './certificates/certificate-service.ts'
import type { StagedConfig } from './certificates/config-sets.ts'
import { keepMemoryOutOfCoreFiles } from './core-files.ts'
import { DiskEviction } from './disk-eviction.ts'
import { type DryRun, dryRunOf } from './dry-run.ts'
import { identityFor } from './identity.ts'
import { IndexSuspicion } from './index-suspicion.ts'
import { ListeningSockets } from './listening-sockets.ts'
import type { CensusQuery, WorkerListener } from './messages.ts'
import { changesNeedingRestart, unsupportedNotices } from './notices.ts'
import { PeerFolder } from './peer-folder.ts'
import { primarySeries } from './primary-metrics.ts'
import { PurgeService } from './purge-service.ts'
import { TicketService } from './tickets/ticket-service.ts'
import { Warming } from './warming.ts'
import { WorkerSlot } from './worker-slot.ts'

export interface SupervisorOptions {
  readonly config: Config
  readonly logger: Logger
  /** Reads the configuration again; undefined when there is no file to read. */
  readonly reread: (() => LoadResult) | undefined
  /** Where the development authority keeps its keys. */
  readonly stateFolder: string
}

export interface ReloadResult {
  readonly ok: boolean
  /** One line each; also for a configuration that was applied: what has to wait for a restart. */
  readonly messages: readonly string[]
}

/** For a process that needs no keys. */
function withoutKeys(tenant: TenantConfig): TenantConfig {
  const originTls = { ...tenant.originTls, client: undefined }
  return { ...tenant, certificate: undefined, originTls }
}

/** Of what a purge would cover, so many are named. */
const DRY_RUN_HOTTEST = 10

/** Forks the workers, keeps them running, and gives them what changes. Holds no client data. */
export class Supervisor {
  readonly slots: readonly WorkerSlot[]
  readonly startedAt = Date.now()
  readonly reloads = { applied: 0, refused: 0 }
  /** Holds the disk tier to its size; null without one. */
  readonly eviction: DiskEviction | null
  /** Indexes of the disk tier that were set aside because processes died of them. */
  indexesSetAside = 0
  readonly purges: PurgeService
  readonly acme: AcmeService
  readonly certificates: CertificateService
  /** What is fetched at the start; null when nothing is. */
  readonly warming: Warming | null
  /** Without the keys that were read with it. */
  #config: Config
  #isStopping = false
  readonly #logger: Logger
  readonly #reread: (() => LoadResult) | undefined
  readonly #sockets: ListeningSockets
  readonly #peerFolder: PeerFolder
  readonly #merge = new MetricsMerge()
  readonly #suspicion = new IndexSuspicion()
  readonly #tickets: TicketService
  /** As at the start: the disk tier changes with a restart only. */
  readonly #diskPath: string | undefined
  /** Reloads and replacements, one after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  #pendingReload: Promise<ReloadResult> | undefined
  #isReplacing = false

  constructor(options: SupervisorOptions) {
    this.#config = options.config
    this.#logger = options.logger
    this.#reread = options.reread
    this.#sockets = new ListeningSockets(options.config.workers)
    const identity = identityFor(options.config)
    this.#peerFolder = new PeerFolder(identity)
    const { disk } = options.config
    this.#diskPath = disk?.path
    this.eviction =
      disk === undefined
        ? null
        : new DiskEviction({
            disk,
            identity,
            logger: options.logger,
            onEnded: (signal) => this.#suspectIndex(signal),
          })
    this.purges = new PurgeService(options)
    this.certificates = new CertificateService(options)
    this.#tickets = new TicketService({
      ...options,
      onKeys: (keys) => {
        for (const slot of this.slots) slot.setTicketKeys(keys)
      },
    })
    this.acme = new AcmeService({
      ...options,
      vault: this.certificates.vault,
      tell: async (answers) => {
        await Promise.all(this.slots.map((slot) => slot.tellChallenges(answers)))
      },
    })
    const { warm } = options.config
    this.warming = warm === undefined ? null : new Warming(warm, options.logger)
    const surroundings = {
      logger: options.logger,
      sockets: this.#sockets,
      identity,
      peers: { folder: this.#peerFolder.path, slots: options.config.workers },
      purges: this.purges,
      certificates: this.certificates,
      config: () => this.#config,
      challenges: () => this.acme.answers,
      ticketKeys: () => this.#tickets.keys,
      onBeat: (
        workerId: number,
        beat: {
          metrics: Parameters<MetricsMerge['update']>[1] | undefined
          diskHits: readonly number[]
        },
      ) => {
        this.eviction?.noteHits(beat.diskHits)
        if (beat.metrics !== undefined) this.#merge.update(workerId, beat.metrics)
      },
      onGone: (workerId: number, signal: string | null) => {
        this.#merge.retire(workerId)
        this.#suspectIndex(signal)
      },
      onInvalidated: (from: number, keys: readonly string[]) => {
        for (const slot of this.slots) if (slot.index !== from) slot.invalidate(keys)
      },
    }
    this.slots = Array.from(
      { length: options.config.workers },
      (_, index) => new WorkerSlot(index, surroundings),
    )
  }

  get config(): Config {
    return this.#config
  }

  get isStopping(): boolean {
    return this.#isStopping
  }

  get listeners(): readonly WorkerListener[] {
    return this.#sockets.listeners
  }

  /** Rejects, with nothing left behind, when an address cannot be had or no worker can serve. */
  async start(): Promise<void> {
    keepMemoryOutOfCoreFiles()
    for (const notice of unsupportedNotices(this.#config)) this.#logger.warn(notice)
    const staged = await this.certificates.stage(this.#config)
    this.#config = staged.config
    this.certificates.apply(staged)
    await this.certificates.start()
    this.#sockets.open(this.#config.listen)
    if (!this.#sockets.keepsConnections) {
      this.#logger.warn('this Node has no net._createServerHandle: workers listen by themselves')
    }
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('../worker/worker-process.ts', import.meta.url)),
      args: [],
      // Typed arrays and undefined survive; JSON would turn them into something else.
      serialization: 'advanced',
    })
    this.eviction?.start()
    await this.purges.start()
    await this.#tickets.start()
    try {
      await Promise.all(this.slots.map((slot) => slot.start()))
    } catch (error) {
      this.kill()
      throw error
    }
    this.acme.start()
  }

  /** Whether every slot serves and all is warm, and if not, why. */
  readiness(): { ready: boolean; isWarming: boolean; reasons: string[] } {
    const reasons = this.slots.flatMap((slot) => {
      if (slot.state === 'serving') return []
      const why = slot.lastError === undefined ? '' : `: ${slot.lastError}`
      return [`worker ${slot.index} is ${slot.isCrashLoop ? 'in a crash loop' : slot.state}${why}`]
    })
    if (this.#isStopping) reasons.unshift('stopping')
    const warming = this.warming?.reason
    if (warming !== undefined) reasons.push(warming)
    return { ready: reasons.length === 0, isWarming: warming !== undefined, reasons }
  }

  /** What the workers hold in memory. */
  async census(query: CensusQuery): Promise<Census> {
    const workers = this.slots.map(({ worker }) => worker)
    const each = await Promise.all(
      workers.map((worker) => worker?.census(query) ?? Promise.resolve(null)),
    )
    return mergeCensuses(each, query.top)
  }

  /** What a purge would cover on this machine; changes nothing. */
  async dryRun(purge: PurgeMessage): Promise<DryRun> {
    const tenants = this.#config.tenants.map(withoutKeys)
    const purgeTable = this.purges.serialisedTable
    const [memory, disk] = await Promise.all([
      this.census({ top: DRY_RUN_HOTTEST, purge }),
      this.eviction?.census({ purge, purgeTable, tenants }),
    ])
    return dryRunOf(memory, disk)
  }

  /** Reads the configuration again and applies it everywhere or nowhere. Calls while one waits share its result. */
  reload(): Promise<ReloadResult> {
    this.#pendingReload ??= this.#enqueue(() => {
      this.#pendingReload = undefined
      return this.#reloadNow()
    })
    return this.#pendingReload
  }

  /** Replaces all workers, one by one, without losing a connection. */
  replaceWorkers(): Promise<void> {
    if (this.#isReplacing) return Promise.resolve()
    this.#isReplacing = true
    return this.#enqueue(async () => {
      this.#isReplacing = false
      this.#logger.info('replacing workers one by one')
      for (const slot of this.slots) {
        if (this.#isStopping) return
        try {
          await slot.replace(this.#config.timeouts.drainMs)
        } catch (error) {
          this.#logger.error(
            { slot: slot.index, err: error },
            'a worker was not replaced; the old one stays',
          )
          return
        }
      }
      this.#logger.info('workers are replaced')
    })
  }

  /** Stops accepting, lets workers finish, and resolves when all have ended. */
  async stop(): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    this.warming?.stop()
    const { drainMs } = this.#config.timeouts
    this.#logger.info({ drainMs }, 'stopping: finishing what is under way')
    const stopped = Promise.all(this.slots.map((slot) => slot.stop(drainMs)))
    this.#sockets.closeAll()
    await stopped
    this.eviction?.stop()
    this.#tickets.stop()
    await this.acme.stop()
    await this.certificates.stop()
    await this.purges.stop()
  }

  kill(): void {
    this.#isStopping = true
    this.warming?.stop()
    for (const slot of this.slots) slot.kill()
    this.eviction?.stop()
    this.#tickets.stop()
    this.#sockets.closeAll()
    void this.acme.stop()
    void this.certificates.stop().catch(() => undefined)
    void this.purges.stop().catch(() => undefined)
  }

  metrics(): MergedMetrics {
    const { series, histograms } = this.#merge.merged()
    const own: MergedSeries[] = primarySeries(this)
    return { series: [...series, ...own], histograms }
  }

  /** Called before the process that has ended is replaced. Nobody here opens the index: this process must live. */
  #suspectIndex(signal: string | null): void {
    const path = this.#diskPath
    if (path === undefined || this.#isStopping) return
    const verdict = this.#suspicion.ended(signal, performance.now())
    if (verdict === 'unsuspected') return
    if (verdict === 'not-the-index') {
      this.#logger.error(
        { path, signal },
        'processes crash although the index of the disk tier is new: look for another cause, or take disk out of the configuration',
      )
      return
    }
    try {
      setIndexAside(path)
      this.indexesSetAside++
      this.#logger.error(
        { path, signal, keptIn: 'index-unusable' },
        'processes crash, which a damaged index of the disk tier does: it is set aside and the tier starts empty; if that happens again, have the disk checked',
      )
    } catch (error) {
      this.#logger.error(
        { path, err: error },
        'processes crash, and the index of the disk tier cannot be set aside: remove its folder "index", or take disk out of the configuration',
      )
    }
  }

  #enqueue<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(work)
    // The caller hears of a failure; the queue goes on.
    this.#queue = result.catch(() => {})
    return result
  }

  async #reloadNow(): Promise<ReloadResult> {
    if (this.#reread === undefined) {
      return {
        ok: false,
        messages: ['There is no configuration file to read: start with --config.'],
      }
    }
    if (this.#isStopping) return { ok: false, messages: ['The proxy is stopping.'] }
    const loaded = this.#reread()
    for (const warning of loaded.warnings) this.#logger.warn(formatProblem(warning))
    if (!loaded.ok) return this.#refuse(loaded.problems.map(formatProblem))
    const before = this.#config
    try {
      await this.#apply(await this.certificates.stage(loaded.config))
    } catch (error) {
      return this.#refuse([error instanceof Error ? error.message : String(error)])
    }
    this.reloads.applied++
    const messages = changesNeedingRestart(before, this.#config).map(
      (name) => `${name} has changed and takes effect after a restart.`,
    )
    for (const message of messages) this.#logger.warn(message)
    this.#logger.info({ tenants: this.#config.tenants.length }, 'configuration applied')
    return { ok: true, messages }
  }

  #refuse(messages: string[]): ReloadResult {
    this.reloads.refused++
    for (const message of messages) this.#logger.error(message)
    this.#logger.error('configuration refused; the one before stays')
    return { ok: false, messages }
  }

  async #apply(staged: StagedConfig): Promise<void> {
    const { config } = staged
    const before = this.#config
    const stagedBefore = this.certificates.staged(before)
    const { added, removed } = this.#sockets.open(config.listen)
    // Workers that are starting take what is current when they are ready.
    this.#config = config
    this.certificates.apply(staged)
    this.purges.configure(config)
    this.acme.configure(config)
    this.#tickets.configure(config)
    try {
      await Promise.all(this.slots.map((slot) => slot.configure(config)))
    } catch (error) {
      this.#config = before
      this.certificates.apply(stagedBefore)
      this.purges.configure(before)
      this.acme.configure(before)
      this.#tickets.configure(before)
      const { removed: unwanted } = this.#sockets.open(before.listen)
      for (const slot of this.slots) slot.closeListeners(unwanted)
      this.#sockets.closeRemoved()
      await Promise.all(this.slots.map((slot) => slot.configure(before)))
      throw error
    }
    for (const slot of this.slots) slot.closeListeners(removed)
    await Promise.all(this.slots.map((slot) => slot.openListeners(added)))
    this.#sockets.closeRemoved()
  }
}

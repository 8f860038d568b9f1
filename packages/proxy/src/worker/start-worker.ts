import { createHash } from 'node:crypto'
import { type AddressInfo, BlockList, isIPv6 } from 'node:net'
import { hostname } from 'node:os'
import {
  type CertificateSet,
  CertificateStore,
  type NamesImage,
  type TicketKeySet,
} from '@larder/certs'
import { ChallengeRegistry } from '@larder/certs/challenges'
import { type PurgeMessage, PurgeTable } from '@larder/purge-bus'
import type { Config } from '../config/config.ts'
import { Clock } from '../http/clock.ts'
import { AccessLog } from '../observability/access-log.ts'
import type { Logger } from '../observability/logger.ts'
import type { MetricsSnapshot, WorkerMetrics } from '../observability/metrics.ts'
import type { OriginGroup } from '../origin/origin-fetch.ts'
import { OriginResolver } from '../origin/resolver.ts'
import { TenantOrigins } from '../origin/tenant-origins.ts'
import { peerDoor } from '../peers/peer-door.ts'
import { Peers } from '../peers/peers.ts'
import { ChallengeDoor } from '../pipeline/challenge-door.ts'
import { PipelineDoor } from '../pipeline/front-door.ts'
import { Pipeline, type PipelineOptions } from '../pipeline/pipeline.ts'
import { resolveUrl } from '../pipeline/purge-keys.ts'
import { compileSite, type Site, type Tenant } from '../pipeline/site.ts'
import type { PurgeAnswer } from '../purge/purge-request.ts'
import { Purges } from '../purge/purges.ts'
import { wouldPurge } from '../purge/would-purge.ts'
import { type Census, takeCensus } from '../storage/memory-census.ts'
import { MemoryTier } from '../storage/memory-tier.ts'
import type { StoredResponse } from '../storage/stored-response.ts'
import type { CensusQuery, PeerPlace, WorkerListener } from '../supervisor/messages.ts'
import type { ClientFacts } from '../transport/exchange.ts'
import { serveHttp1 } from '../transport/h1/connection.ts'
import { serveHttp2 } from '../transport/h2/connection.ts'
import type { TransportLimits } from '../transport/limits.ts'
import {
  type FrontListener,
  type ListenerOptions,
  type ListenTarget,
  listen,
} from '../transport/listener.ts'
import { TimerWheel } from '../transport/timer-wheel.ts'
import { Recorder } from './recorder.ts'
import { SharedTiers } from './shared-tiers.ts'
import { TlsService } from './tls-service.ts'
import { transportLimits } from './transport-limits.ts'

export interface WorkerOptions {
  readonly config: Config
  readonly slot: number
  readonly metrics: WorkerMetrics
  readonly logger: Logger
  /** The workers of this machine; undefined for one that is alone. */
  readonly peers?: PeerPlace
  /** A clock that someone else keeps going; the time of day without one. */
  readonly clock?: Clock
  /** Purges in force, as `PurgeTable.serialise` gives them; none without it. */
  readonly purgeTable?: Uint8Array
  /** Which names have a certificate, and whom to ask for it. */
  readonly certificates: {
    readonly names: NamesImage
    ask(pattern: string): Promise<CertificateSet | null>
  }
  /** Keys that an unsafe request has invalidated here, to be told to the other workers. */
  announceInvalidation?(keys: readonly string[]): void
  /** What validating authorities may ask for, kept up to date by whoever hears of it. */
  readonly challenges?: ChallengeRegistry
  /** Hands a purge to the bus; for PURGE requests. Resolves to the answer's status and JSON. */
  publishPurge?(message: PurgeMessage): Promise<PurgeAnswer>
}

export interface RunningWorker {
  /**
   * `target`: a listening handle from the primary, or an address. Settles when connections are accepted, with the
   * address that came of it.
   */
  listen(listener: WorkerListener, target: unknown): Promise<AddressInfo>
  closeListener(address: string): void
  /** Called when the process is who it is to be: opens what the first request would have to wait for. */
  openTiers(): void
  /** A new configuration; connections stay, exchanges under way finish with the one they began with. */
  configure(config: Config): Promise<void>
  /** Keys that another worker has invalidated. */
  invalidate(keys: readonly string[]): void
  /** Where purges are to be applied. */
  readonly purges: Purges
  /** Where changes of certificates are to be told. */
  readonly certificates: CertificateStore
  /** Stops accepting, finishes exchanges, cuts what is left after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>
  /** Keys that seal and open session tickets from now on. */
  setTicketKeys(keys: TicketKeySet): void
  metrics(): MetricsSnapshot
  /** Counts what memory holds, without holding up the event loop. */
  census(query: CensusQuery): Promise<Census>
  /** Places on disk that were read since the last call: pairs of segment and offset. */
  takeDiskHits(): readonly number[]
}

/** Builds a worker: every service is made here and passed to those who use it. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const worker = new Worker(options)
  await worker.peers?.listen()
  return worker
}

interface OpenListener {
  readonly front: FrontListener
  readonly listener: WorkerListener
  /** 0 until it is known. */
  port: number
}

class Worker implements RunningWorker {
  readonly #options: WorkerOptions
  readonly #clock: Clock
  readonly #wheel = new TimerWheel().start()
  readonly #resolver = new OriginResolver()
  readonly #tier: MemoryTier
  readonly purges: Purges
  readonly #sharedTiers: SharedTiers
  readonly #log: AccessLog
  readonly peers: Peers | null
  readonly #recorder: Recorder
  readonly certificates: CertificateStore
  readonly #door: PipelineDoor
  readonly #challengeDoor: ChallengeDoor
  readonly #pipeline: Pipeline
  readonly #tls: TlsService
  readonly #listeners = new Map<string, OpenListener>()
  #site: Site
  #limits: TransportLimits
  #trusted: BlockList
  #http2PriorKnowledge: boolean
  #origins = new Map<Tenant, OriginGroup>()

  constructor(options: WorkerOptions) {
    const { config, metrics, logger } = options
    this.#options = options
    this.#clock = options.clock ?? new Clock().start()
    this.#site = this.#compile(config)
    this.#limits = transportLimits(config)
    this.#trusted = blockList(config.trustedProxies)
    this.#http2PriorKnowledge = config.http2PriorKnowledge
    this.#tier = new MemoryTier(config.memory.maxSizeBytes, config.memory.maxObjectBytes)
    this.purges = this.#makePurges(config)
    this.#sharedTiers = new SharedTiers({ config, logger, now: () => this.#clock.ms })
    this.#log = new AccessLog(config.logging.access, (err) =>
      logger.error({ err, output: config.logging.access.output }, 'the access log is not written'),
    )
    this.#recorder = new Recorder(metrics, this.#log, this.#clock)
    const challenges = options.challenges ?? new ChallengeRegistry()
    this.#tls = new TlsService({
      config,
      contextFor: (serverName) => this.certificates.contextFor(serverName),
      pairsFor: (serverName) => this.certificates.pairsFor(serverName),
      tenantOf: (host) => this.#site.tenantOf(host),
      challenges,
      onRefused: (reason) => this.#recorder.countRefusal(reason),
    })
    this.certificates = new CertificateStore({
      names: options.certificates.names,
      ask: (pattern) => options.certificates.ask(pattern),
      maxContexts: config.certificates.maxContexts,
      secureContext: () => this.#tls.contextOptions,
      onError: (err, name) => logger.error({ err, name }, 'a certificate cannot be used'),
    })
    this.peers = options.peers === undefined ? null : this.#makePeers(options.peers)
    this.#pipeline = new Pipeline(this.#pipelineOptions(config))
    this.#door = new PipelineDoor(
      this.#site,
      this.#tier,
      this.#clock,
      this.purges,
      this.#pipeline,
      this.#recorder,
    )
    this.#challengeDoor = new ChallengeDoor(this.#door, challenges, (tx, end) =>
      this.#recorder.record(tx, end),
    )
  }

  async listen(listener: WorkerListener, target: unknown): Promise<AddressInfo> {
    const { address, kind, proxyProtocol } = listener
    const options = this.#listenerOptions(kind === 'https', proxyProtocol)
    // Either a handle that node:child_process has received or an address: `listen` tells them apart.
    const front = listen(target as ListenTarget, options)
    const open: OpenListener = { front, listener, port: 0 }
    this.#listeners.set(address, open)
    try {
      const bound = await front.ready
      open.port = bound.port
      return bound
    } catch (error) {
      this.#listeners.delete(address)
      throw error
    }
  }

  /** Limits are read for each connection, so that a new configuration holds for the next one. */
  #listenerOptions(secure: boolean, proxyProtocol: boolean): ListenerOptions {
    const worker = this
    const shared = { door: this.#challengeDoor, clock: this.#clock, wheel: this.#wheel }
    return {
      ...shared,
      secure: secure ? this.#tls.front : false,
      get limits() {
        return worker.#limits
      },
      get proxyProtocol() {
        return proxyProtocol ? { trusted: worker.#trusted } : null
      },
      get http2PriorKnowledge() {
        return worker.#http2PriorKnowledge
      },
      http2: (socket, client, initialData) =>
        serveHttp2(socket, client, { ...shared, limits: this.#limits, initialData }),
      http1: (socket, client, initialData) =>
        serveHttp1(socket, client, { ...shared, limits: this.#limits, initialData }),
    }
  }

  closeListener(address: string): void {
    const open = this.#listeners.get(address)
    if (open === undefined) return
    this.#listeners.delete(address)
    // What is connected finishes; a listener taken out of the configuration has as long as a drain.
    void open.front.drain(this.#options.config.timeouts.drainMs)
  }

  openTiers(): void {
    this.#sharedTiers.open()
  }

  async configure(config: Config): Promise<void> {
    const before = this.#origins
    this.#origins = new Map()
    this.#site = this.#compile(config)
    this.#limits = transportLimits(config)
    this.#trusted = blockList(config.trustedProxies)
    this.#http2PriorKnowledge = config.http2PriorKnowledge
    this.#tls.configure(config)
    this.#log.configure(config.logging.access)
    this.#pipeline.configure(this.#pipelineOptions(config))
    this.#door.configure(this.#site)
    this.purges.table.resolveAgain(resolveUrl(this.#site))
    for (const group of before.values()) group.close()
  }

  setTicketKeys(keys: TicketKeySet): void {
    this.#tls.setTicketKeys(keys)
  }

  invalidate(keys: readonly string[]): void {
    for (const key of keys) this.#pipeline.invalidate(key)
  }

  async drain(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#listeners.values()].map(({ front }) => front.drain(deadlineMs)))
    await this.peers?.drain()
    for (const group of this.#origins.values()) group.close()
    await this.#sharedTiers.close()
    this.#log.close()
  }

  metrics(): MetricsSnapshot {
    const { metrics } = this.#options
    for (const kind of ['http', 'https'] as const) {
      let connections = 0
      for (const { front, listener } of this.#listeners.values()) {
        if (listener.kind === kind) connections += front.connectionCount
      }
      metrics.set(metrics.series('larder_connections', kind), connections)
    }
    this.#sharedTiers.measure(metrics)
    this.#measureCertificates()
    metrics.set(metrics.series('larder_memory_bytes'), this.#tier.bytes)
    metrics.set(metrics.series('larder_memory_objects'), this.#tier.count)
    metrics.set(metrics.series('larder_memory_evictions_total'), this.#tier.evictions)
    return metrics.snapshot()
  }

  #measureCertificates(): void {
    const { metrics } = this.#options
    const { counts, size } = this.certificates
    const results = {
      hit: counts.hits,
      asked: counts.questions,
      unknown: counts.unknown,
      failed: counts.failures,
    }
    for (const [result, count] of Object.entries(results)) {
      metrics.set(metrics.series('larder_certificate_lookups_total', result), count)
    }
    metrics.set(metrics.series('larder_certificate_contexts'), size)
    metrics.set(metrics.series('larder_certificate_evictions_total'), counts.evictions)
  }

  census({ top, tenant, purge }: CensusQuery): Promise<Census> {
    const covers = purge === undefined ? null : wouldPurge(purge, resolveUrl(this.#site))
    const counts = (stored: StoredResponse) =>
      (tenant === undefined || stored.key.startsWith(`${tenant}\n`)) &&
      (covers === null || covers(stored)) &&
      this.purges.judge(stored) !== 'purged'
    return takeCensus(this.#tier, { top, counts, named: covers !== null })
  }

  #makePurges(config: Config): Purges {
    const { purgeTable } = this.#options
    const options = { resolve: resolveUrl(this.#site) }
    const table =
      purgeTable === undefined ? new PurgeTable(options) : PurgeTable.restore(purgeTable, options)
    const { whenCutOff } = config.purge
    return new Purges({
      table,
      whenCutOff,
      isAlone: purgeTable === undefined,
      now: () => this.#clock.ms,
    })
  }

  #compile(config: Config): Site {
    return compileSite(config, () => httpsPortOf(this.#listeners.values()))
  }

  #makePeers({ folder, slots }: PeerPlace): Peers | null {
    if (slots < 2) return null
    const door = peerDoor(
      (number) => this.purges.whenApplied(number),
      (exchange, slice) => this.#pipeline.handle(exchange, true, slice),
    )
    return new Peers({
      folder,
      slots,
      slot: this.#options.slot,
      wheel: this.#wheel,
      resolver: this.#resolver,
      serve: (socket) =>
        serveHttp1(socket, PEER_FACTS, {
          door,
          clock: this.#clock,
          wheel: this.#wheel,
          limits: peerLimits(this.#limits),
        }),
    })
  }

  takeDiskHits(): readonly number[] {
    return this.#sharedTiers.takeHits()
  }

  #pipelineOptions(config: Config): PipelineOptions {
    const { announceInvalidation, publishPurge } = this.#options
    return {
      site: this.#site,
      tier: this.#tier,
      shared: this.#sharedTiers.store,
      lease: this.#sharedTiers.lease,
      peers: this.peers,
      purges: this.purges,
      clock: this.#clock,
      pseudonym: pseudonymOf(config),
      trustedProxies: this.#trusted,
      maxRequestBodyBytes: config.limits.maxRequestBodyBytes,
      originsOf: (tenant) => this.#originsOf(tenant),
      record: (tx, end) => this.#recorder.record(tx, end),
      countOrigin: (tenant, outcome) => this.#recorder.countOrigin(tenant, outcome),
      countOriginBytes: (bytes) => this.#recorder.countOriginBytes(bytes),
      countCollapsed: () => this.#recorder.countCollapsed(),
      announceInvalidation: (keys) => announceInvalidation?.(keys),
      purgeFrom: blockList(config.purge.purgeFrom),
      publishPurge,
    }
  }

  #originsOf(tenant: Tenant): OriginGroup {
    const known = this.#origins.get(tenant)
    if (known !== undefined) return known
    const group = new TenantOrigins(tenant.config, this.#wheel, this.#resolver)
    this.#origins.set(tenant, group)
    return group
  }
}

/** Another worker is a client that has been let in already. */
const PEER_FACTS: ClientFacts = {
  address: '',
  port: 0,
  peerAddress: '',
  localPort: 0,
  secure: false,
  serverName: undefined,
  tlsVersion: undefined,
  certificate: null,
}

/** A head that a client was allowed, and the field that goes with it; connections that stay. */
function peerLimits(limits: TransportLimits): TransportLimits {
  return {
    ...limits,
    maxHeaderBytes: limits.maxHeaderBytes + 8192,
    maxHeaderCount: limits.maxHeaderCount + 8,
    maxRequestsPerConnection: Number.MAX_SAFE_INTEGER,
    idleTimeoutMs: 120_000,
    headerTimeoutMs: 120_000,
    // The asking worker waits for its slowest client first, and cuts that one off.
    writeTimeoutMs: limits.writeTimeoutMs * 2 + 5_000,
  }
}

/** Where clients find HTTPS: at its own port if we listen there, or at the first that there is. */
function httpsPortOf(listeners: Iterable<OpenListener>): number {
  let first = 443
  for (const { listener, port } of listeners) {
    if (listener.kind !== 'https' || port === 0) continue
    if (port === 443) return 443
    if (first === 443) first = port
  }
  return first
}

function blockList(blocks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const block of blocks) {
    const [address, prefix] = block.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return list
}

/**
 * A name in Via that no other proxy has (RFC 9110 §7.6.3), so that a request that comes back is recognised, while one
 * that passes a second Larder on purpose is not: from the machine and the addresses this one listens on.
 */
function pseudonymOf(config: Config): string {
  const identity = JSON.stringify([hostname(), config.listen])
  return `larder-${createHash('sha256').update(identity).digest('hex').slice(0, 8)}`
}

import { join } from 'node:path'
import {
  type CertificateSet,
  type CertificateVault,
  canonicalName,
  DevelopmentAuthority,
  KeyRing,
  type NamesImage,
} from '@larder/certs'
import type { Config } from '../../config/config.ts'
import type { Logger } from '../../observability/logger.ts'
import { ConfigSets, type StagedConfig, stageConfig } from './config-sets.ts'
import { FolderSets } from './folder-sets.ts'
import type { KnownSet, SetEvents, SourceKind } from './known-set.ts'
import { NameIndex } from './name-index.ts'
import { RedisStore } from './redis-store.ts'
import type { SetStore } from './set-store.ts'
import { StateStore } from './state-store.ts'
import { StoredSets } from './stored-sets.ts'
import { type CertificateReceiver, WorkerRelay } from './worker-relay.ts'

export interface CertificateServiceOptions {
  /** As it was read; options of the service itself change with a restart only. */
  readonly config: Config
  readonly stateFolder: string
  readonly logger: Logger
  /** Epoch ms. */
  readonly now?: () => number
}

/** By source. */
export interface CertificateCounts {
  readonly loads: Map<SourceKind, number>
  readonly refusals: Map<SourceKind, number>
}

const FALLBACK = '*'
/** Read at most so often for one question, because what was read had changed meanwhile. */
const MAX_ROUNDS = 4

/** Every certificate that this machine could serve: knows the names of all, and holds those in use for the workers. */
export class CertificateService {
  readonly index = new NameIndex()
  readonly counts: CertificateCounts = { loads: new Map(), refusals: new Map() }
  readonly now: () => number
  /** Where certificates are kept that are put here or made here. */
  readonly stored: StoredSets
  /** Whether what is stored is stored for every machine of the point of presence. */
  readonly isShared: boolean
  readonly #logger: Logger
  readonly #authority: DevelopmentAuthority
  readonly #configured: ConfigSets
  readonly #folder: FolderSets | null
  readonly #relay: WorkerRelay
  #answersUnknown: boolean
  /** Grows with each change: whoever has read meanwhile reads again. */
  #changes = 0
  #lastVersion = 0

  constructor(options: CertificateServiceOptions) {
    const { config, stateFolder, logger, now = Date.now } = options
    const { folder, maxContexts } = config.certificates
    this.now = now
    this.#logger = logger
    this.#answersUnknown = config.tls.unknownServerName === 'default'
    this.#authority = new DevelopmentAuthority(stateFolder)
    this.#relay = new WorkerRelay(this.index, () => this.#hasFallback)
    const events = this.#events()
    const nextVersion = () => ++this.#lastVersion
    const maxLoaded = maxContexts * 2
    const common = { events, logger, now }
    this.#configured = new ConfigSets({ ...common, nextVersion })
    this.#folder =
      folder === undefined ? null : new FolderSets({ ...common, folder, maxLoaded, nextVersion })
    const { store, isShared } = storeFor(options)
    this.isShared = isShared
    const settled = () => this.#relay.settled()
    this.stored = new StoredSets({ ...common, store, maxLoaded, settled })
  }

  get vault(): CertificateVault {
    return this.stored
  }

  /** Resolves when all names are known that can be known soon. */
  async start(): Promise<void> {
    await Promise.all([this.stored.start(), this.#folder?.start()])
  }

  /** What `apply` takes; nothing changes yet. Rejects when a certificate cannot be issued. */
  stage(config: Config): Promise<StagedConfig> {
    return stageConfig(config, this.#authority)
  }

  apply({ config, sets }: StagedConfig): void {
    this.#answersUnknown = config.tls.unknownServerName === 'default'
    this.#configured.apply(sets)
    this.#changed(new Set([FALLBACK]))
  }

  /** What `apply` takes to come back to what is in force now, with this configuration. */
  staged(config: Config): StagedConfig {
    return { config, sets: this.#configured.current }
  }

  /** Exactly this name or wildcard, or '*' for whoever is left; null when there is nothing to serve. */
  async ask(pattern: string): Promise<CertificateSet | null> {
    for (let round = 0; ; round++) {
      const changes = this.#changes
      const set = await this.#firstOf(pattern)
      // An answer that is older than what the worker has been told would be kept there for good.
      if (changes === this.#changes || round >= MAX_ROUNDS) return set
    }
  }

  /** Those that a client which asks for this name could be given, the first first. */
  answering(asked: string): KnownSet[] {
    const name = canonicalName(asked)
    const dot = name.indexOf('.')
    const patterns = [name, ...(dot > 0 ? [`*${name.slice(dot)}`] : []), FALLBACK]
    return [...new Set(patterns.flatMap((pattern) => this.index.find(pattern)))]
  }

  /** Reads at most so many of those that nobody has read yet, so that they can be described. */
  async readAhead(sets: readonly KnownSet[], most: number): Promise<void> {
    for (const set of sets.filter(({ facts }) => facts === undefined).slice(0, most)) {
      // Why not, is told where it is asked for.
      await set.owner.read(set).catch(() => null)
    }
  }

  /** All workers have heard of all changes until now. */
  settled(): Promise<void> {
    return this.#relay.settled()
  }

  join(receiver: CertificateReceiver): NamesImage {
    return this.#relay.join(receiver)
  }

  leave(name: string): void {
    this.#relay.leave(name)
  }

  seen(name: string, number: number): void {
    this.#relay.seen(name, number)
  }

  async stop(): Promise<void> {
    this.#configured.stop()
    this.#folder?.stop()
    await this.stored.stop()
  }

  get #hasFallback(): boolean {
    return this.index.has(FALLBACK) || this.#fallback !== undefined
  }

  get #fallback(): KnownSet | undefined {
    return this.#answersUnknown ? this.#configured.first : undefined
  }

  async #firstOf(pattern: string): Promise<CertificateSet | null> {
    const candidates = [...this.index.find(pattern)]
    const fallback = pattern === FALLBACK ? this.#fallback : undefined
    if (fallback !== undefined) candidates.push(fallback)
    for (const known of candidates) {
      try {
        const set = await known.owner.read(known)
        // A file may turn out to be for other names than its own name says.
        if (set?.names.includes(pattern) || (set !== null && known === fallback)) return set
      } catch (err) {
        this.#logger.error({ err, id: known.id }, 'a certificate cannot be read')
      }
    }
    return null
  }

  #events(): SetEvents {
    const { loads, refusals } = this.counts
    return {
      put: (set, namesBefore, isRenewed) => {
        this.index.put(set, namesBefore)
        const names = isRenewed
          ? new Set([...namesBefore, ...set.names])
          : new Set(namesBefore).symmetricDifference(new Set(set.names))
        this.#changed(names)
      },
      drop: (set) => {
        this.index.drop(set)
        this.#changed(new Set(set.names))
      },
      refused: (source, message) => {
        refusals.set(source, (refusals.get(source) ?? 0) + 1)
        this.#logger.error({ source, reason: message }, 'a certificate is refused')
      },
      loaded: (source) => loads.set(source, (loads.get(source) ?? 0) + 1),
    }
  }

  #changed(names: ReadonlySet<string>): void {
    if (names.size === 0) return
    this.#changes++
    this.#relay.changed(names)
  }
}

/** In Redis where it is and keys can be encrypted there, else on this machine. */
function storeFor({ config, stateFolder, logger }: CertificateServiceOptions): {
  store: SetStore
  isShared: boolean
} {
  const { redis: place } = config
  const { sealKeys } = config.certificates
  if (place !== undefined && sealKeys.length > 0) {
    const keys = new KeyRing(sealKeys.map((key) => Buffer.from(key, 'hex')))
    const { prefix } = place
    const copiesFolder = join(stateFolder, 'shared-certificates')
    const store = new RedisStore({ place, prefix, keys, copiesFolder, logger })
    return { store, isShared: true }
  }
  return { store: new StateStore(join(stateFolder, 'certificates'), logger), isShared: false }
}

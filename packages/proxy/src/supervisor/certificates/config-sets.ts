import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  type CertificatePair,
  type CertificateSet,
  type DevelopmentAuthority,
  readFacts,
  validityProblem,
} from '@larder/certs'
import type { CertificateConfig, Config, TenantConfig } from '../../config/config.ts'
import type { Logger } from '../../observability/logger.ts'
import { checkSet, factsOfSet, type PairPlace } from './check-set.ts'
import { FileWatch } from './file-watch.ts'
import type { KnownSet, SetEvents, SetOwner } from './known-set.ts'
import { readPair } from './pair-files.ts'

export interface ConfigSetsOptions {
  readonly events: SetEvents
  readonly logger: Logger
  /** Epoch ms. */
  readonly now: () => number
  /** Higher each time. */
  readonly nextVersion: () => number
}

/** A configuration that is about to come into force: its certificates, and the rest without them. */
export interface StagedConfig {
  readonly config: Config
  readonly sets: readonly StagedSet[]
}

interface StagedSet {
  readonly id: string
  readonly source: 'files' | 'self-signed'
  readonly names: readonly string[]
  readonly files: readonly PairPlace[]
  readonly pairs: readonly CertificatePair[]
}

/** Watches can be lost: files are looked at so often. */
const RESCAN_MS = 30_000
const SECOND_LOOK_MS = 1_000

/**
 * Takes the keys out of a configuration, and has issued what is self-signed: what is left can be shown and sent to the
 * workers.
 */
export async function stageConfig(
  config: Config,
  authority: DevelopmentAuthority,
): Promise<StagedConfig> {
  const sets: StagedSet[] = []
  const tenants: TenantConfig[] = []
  for (const tenant of config.tenants) {
    const { certificate, id, hosts: names } = tenant
    if (certificate === undefined) {
      tenants.push(tenant)
      continue
    }
    tenants.push(Object.freeze({ ...tenant, certificate: withoutKeys(certificate) }))
    if (certificate.source !== 'files') {
      // Whoever has none by ACME yet is served all the same: it comes last of those that a name has.
      const pairs = [await authority.certificateFor(id, names)]
      sets.push({ id: `tenant/${id}`, source: 'self-signed', names, files: [], pairs })
    } else if (certificate.certPem !== '') {
      const all = [certificate, ...certificate.also]
      const files = all.map(({ certFile = '', keyFile = '' }) => ({ certFile, keyFile }))
      const pairs = all.map(({ certPem, keyPem }) => ({ certPem, keyPem }))
      sets.push({ id: `tenant/${id}`, source: 'files', names, files, pairs })
    }
  }
  return {
    config: Object.freeze({
      ...config,
      certificates: Object.freeze({ ...config.certificates, sealKeys: [] }),
      tenants: Object.freeze(tenants),
    }),
    sets,
  }
}

function withoutKeys(certificate: CertificateConfig): CertificateConfig {
  const also = certificate.also.map((one) => ({ ...one, certPem: '', keyPem: '' }))
  return Object.freeze({ ...certificate, certPem: '', keyPem: '', also: Object.freeze(also) })
}

interface ConfigSet extends KnownSet {
  readonly source: StagedSet['source']
  files: readonly PairPlace[]
  pairs: readonly CertificatePair[]
}

/** The tenants' certificates: those whose files the configuration names, read again when they change, and self-signed. */
export class ConfigSets implements SetOwner {
  readonly #options: ConfigSetsOptions
  readonly #sets = new Map<string, ConfigSet>()
  /** By id: not told again at each look. */
  readonly #lastRefusal = new Map<string, string>()
  readonly #watch: FileWatch
  readonly #timer: NodeJS.Timeout
  #queue: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(options: ConfigSetsOptions) {
    this.#options = options
    let waiting = 0
    const look = (paths: ReadonlySet<string> | null) => {
      // Whatever is waiting already looks at everything that has changed until then.
      if (paths === null && waiting > 0) return
      waiting++
      this.#queue = this.#queue.then(() => this.#look(paths)).finally(() => waiting--)
    }
    this.#watch = new FileWatch({ logger: options.logger, onChange: look })
    this.#timer = setInterval(() => {
      this.#watchFolders()
      look(null)
    }, RESCAN_MS).unref()
  }

  /** The first one answers whoever asks for nobody, where the configuration wants that. */
  get first(): KnownSet | undefined {
    return this.#sets.values().next().value
  }

  /** As they are served now, files that have changed since the configuration was read included. */
  get current(): readonly StagedSet[] {
    return [...this.#sets.values()].map(({ id, source, names, files, pairs }) => ({
      ...{ id, source, names, files, pairs },
    }))
  }

  apply(staged: readonly StagedSet[]): void {
    const before = new Map(this.#sets)
    this.#sets.clear()
    for (const one of staged) {
      this.#put(one, before.get(one.id))
      before.delete(one.id)
    }
    for (const set of before.values()) {
      this.#lastRefusal.delete(set.id)
      this.#options.events.drop(set)
    }
    this.#watchFolders()
  }

  isInUse(): boolean {
    return true
  }

  async read(known: KnownSet): Promise<CertificateSet | null> {
    const set = this.#sets.get(known.id)
    if (set === undefined) return null
    const { id, names, version, pairs } = set
    return { id, names, version, pairs }
  }

  stop(): void {
    this.#isStopped = true
    clearInterval(this.#timer)
    this.#watch.close()
  }

  #put(staged: StagedSet, known: ConfigSet | undefined): void {
    const { id, source, names, files } = staged
    const { events, nextVersion } = this.#options
    const before = known?.source === source ? known : undefined
    if (known !== undefined && before === undefined) events.drop(known)
    // A certificate that cannot be verified any more takes the place of a better one only where there is none.
    const pairs = known !== undefined && this.#isWorse(staged, known) ? known.pairs : staged.pairs
    if (before !== undefined && samePairs(pairs, before.pairs)) {
      const namesBefore = before.names
      before.names = names
      before.files = files
      this.#sets.set(id, before)
      events.put(before, namesBefore, false)
      return
    }
    const version = nextVersion()
    const facts = factsOfSet(pairs.map(({ certPem }) => readFacts(certPem)))
    const set: ConfigSet = before ?? {
      id,
      source,
      names,
      files,
      pairs,
      version,
      facts,
      owner: this,
    }
    const namesBefore = before?.names ?? []
    Object.assign(set, { names, files, pairs, version, facts })
    this.#sets.set(id, set)
    events.loaded(source)
    events.put(set, namesBefore, true)
  }

  #isWorse(staged: StagedSet, before: ConfigSet): boolean {
    const now = this.#options.now()
    if (before.facts === undefined || before.facts.notAfterAt <= now) return false
    if (samePairs(staged.pairs, before.pairs)) return false
    for (const [index, { certPem }] of staged.pairs.entries()) {
      const file = staged.files[index]?.certFile ?? ''
      const problem = validityProblem(readFacts(certPem), file, now)
      if (problem === undefined) continue
      this.#options.events.refused(staged.source, `${problem} The one before stays.`)
      return true
    }
    return false
  }

  async #look(paths: ReadonlySet<string> | null): Promise<void> {
    const isTouched = ({ certFile, keyFile }: PairPlace) =>
      paths === null || paths.has(certFile) || paths.has(keyFile)
    const doubtful: ConfigSet[] = []
    for (const set of [...this.#sets.values()]) {
      if (this.#isStopped) return
      if (!set.files.some(isTouched)) continue
      if ((await this.#readAgain(set)) !== undefined) doubtful.push(set)
    }
    if (doubtful.length === 0) return
    // They may be half written.
    await pause(SECOND_LOOK_MS)
    for (const set of doubtful) {
      const message = await this.#readAgain(set)
      if (message === undefined || message === this.#lastRefusal.get(set.id)) continue
      this.#lastRefusal.set(set.id, message)
      this.#options.events.refused('files', `${message} The one before stays.`)
    }
  }

  /** Takes over what has changed; answers why it cannot. */
  async #readAgain(set: ConfigSet): Promise<string | undefined> {
    const read = await this.#readFiles(set)
    const { events, logger, nextVersion } = this.#options
    if (read === undefined || this.#isStopped || this.#sets.get(set.id) !== set) return undefined
    if (typeof read === 'string') return read
    this.#lastRefusal.delete(set.id)
    set.pairs = read
    set.version = nextVersion()
    set.facts = factsOfSet(read.map(({ certPem }) => readFacts(certPem)))
    logger.info({ names: set.names.slice(0, 10), from: 'files' }, 'new certificate')
    events.loaded('files')
    events.put(set, set.names, true)
    return undefined
  }

  /** New pairs; undefined when nothing has changed or something is away for the moment, a text why they are refused. */
  async #readFiles(set: ConfigSet): Promise<readonly CertificatePair[] | string | undefined> {
    const pairs: CertificatePair[] = []
    try {
      for (const place of set.files) {
        const read = await readPair(place)
        if (read === undefined) return undefined
        pairs.push(read.pair)
      }
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
    if (samePairs(pairs, set.pairs)) {
      this.#lastRefusal.delete(set.id)
      return undefined
    }
    const check = checkSet(pairs, set.files, this.#options.now())
    return check.ok ? pairs : check.message
  }

  #watchFolders(): void {
    const folders = new Set<string>()
    for (const { files } of this.#sets.values()) {
      for (const { certFile, keyFile } of files)
        folders.add(dirname(certFile)).add(dirname(keyFile))
    }
    this.#watch.setFolders(folders)
  }
}

function samePairs(a: readonly CertificatePair[], b: readonly CertificatePair[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ certPem, keyPem }, at) => certPem === b[at].certPem && keyPem === b[at].keyPem)
  )
}

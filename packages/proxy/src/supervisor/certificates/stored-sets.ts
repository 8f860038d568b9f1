import {
  type CertificatePair,
  type CertificateSet,
  type CertificateVault,
  coversName,
} from '@larder/certs'
import type { Logger } from '../../observability/logger.ts'
import { checkSet, type PairPlace } from './check-set.ts'
import type { KnownSet, SetEvents, SetOwner, SourceKind } from './known-set.ts'
import { LoadedSets } from './loaded-sets.ts'
import { ADMIN_ID } from './name-index.ts'
import type { SetStore, StoredHead } from './set-store.ts'

export interface StoredSetsOptions {
  readonly store: SetStore
  readonly maxLoaded: number
  readonly events: SetEvents
  readonly logger: Logger
  /** Epoch ms. */
  readonly now: () => number
  /** Resolves when every worker of this machine has been told of what was stored before. */
  readonly settled: () => Promise<void>
}

/** Why something was not stored: what is wrong with it, and the cure. */
export class CertificateRefused extends Error {}

const MAX_READ_AT_START = 500

const PLACES: readonly PairPlace[] = [
  { certFile: 'certificate', keyFile: 'privateKey' },
  { certFile: 'second certificate', keyFile: 'second privateKey' },
]

/** What came by the admin API or by ACME, in the state folder or in Redis. */
export class StoredSets implements SetOwner, CertificateVault {
  readonly #options: StoredSetsOptions
  readonly #known = new Map<string, KnownSet>()
  readonly #loaded: LoadedSets

  constructor(options: StoredSetsOptions) {
    this.#options = options
    this.#loaded = new LoadedSets(options.maxLoaded)
  }

  async start(): Promise<void> {
    await this.#options.store.start((head) => this.#heard(head))
    // When they expire is known before anyone asks for them.
    void this.#readSome()
  }

  async #readSome(): Promise<void> {
    for (const known of [...this.#known.values()].slice(0, MAX_READ_AT_START)) {
      // Whoever asks for it hears the reason.
      await this.read(known).catch(() => null)
    }
  }

  stop(): Promise<void> {
    return this.#options.store.stop()
  }

  get(id: string): KnownSet | undefined {
    return this.#known.get(id)
  }

  isInUse(): boolean {
    return true
  }

  async read(known: KnownSet): Promise<CertificateSet | null> {
    const { id, source } = known
    return this.#loaded.get(id, async () => {
      const set = await this.#options.store.read(id)
      // What is older than what has been heard of is on its way out.
      if (set === null || set.version < known.version) return null
      const check = this.#check(set.pairs)
      if (!check.ok) {
        this.#options.events.refused(source, `${id}: ${check.message}`)
        return null
      }
      known.facts = check.facts
      this.#options.events.loaded(source)
      return set
    })
  }

  async current(id: string): Promise<CertificateSet | null> {
    const known = this.#known.get(id)
    return known === undefined ? null : this.read(known)
  }

  async commit(
    id: string,
    names: readonly string[],
    pairs: readonly CertificatePair[],
    fence?: number,
  ): Promise<number> {
    const source = sourceOf(id)
    const check = this.#check(pairs)
    if (!check.ok) return this.#refuse(source, check.message)
    const foreign = names.find((name) => !coversName(check, name) && name !== '*')
    if (names.length === 0 || foreign !== undefined) {
      const message = `The certificate is not for '${foreign ?? ''}': it is for ${check.names.slice(0, 10).join(', ')}. Have one issued for every name.`
      return this.#refuse(source, message)
    }
    const version = await this.#options.store.put(id, names, pairs, fence)
    this.#heard({ id, names, version })
    const known = this.#known.get(id)
    if (known?.version === version) {
      known.facts = check.facts
      this.#loaded.put({ id, names, version, pairs })
    }
    this.#options.events.loaded(source)
    await this.#options.settled()
    return version
  }

  /** False when there is none. */
  async remove(id: string): Promise<boolean> {
    const wasThere = await this.#options.store.remove(id)
    await this.#options.settled()
    return wasThere
  }

  #check(pairs: readonly CertificatePair[]) {
    return checkSet(pairs, PLACES, this.#options.now())
  }

  #refuse(source: SourceKind, message: string): never {
    this.#options.events.refused(source, message)
    throw new CertificateRefused(message)
  }

  #heard({ id, names, version }: StoredHead): void {
    const known = this.#known.get(id)
    if (known !== undefined && known.version >= version) return
    if (names.length === 0) {
      if (known === undefined) return
      this.#known.delete(id)
      this.#loaded.drop(id)
      this.#options.events.drop(known)
      return
    }
    this.#loaded.drop(id)
    if (known === undefined) {
      const source = sourceOf(id)
      const set: KnownSet = { id, source, names, version, facts: undefined, owner: this }
      this.#known.set(id, set)
      this.#options.events.put(set, [], true)
      return
    }
    const before = known.names
    known.names = names
    known.version = version
    known.facts = undefined
    this.#options.events.put(known, before, true)
  }
}

function sourceOf(id: string): SourceKind {
  return id.startsWith(ADMIN_ID) ? 'admin' : 'acme'
}

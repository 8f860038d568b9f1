import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { CertificatePair, CertificateSet } from '@larder/certs'
import type { Logger } from '../../observability/logger.ts'
import { syncFolder, writePrivateFile } from '../write-private.ts'
import {
  MAX_STORED_SETS,
  type SetStore,
  StaleFence,
  type StoredHead,
  StoreUnavailable,
} from './set-store.ts'

/** Sets in the state folder of this machine, a file for each, readable by its owner alone. */
export class StateStore implements SetStore {
  readonly #folder: string
  readonly #logger: Logger
  readonly #versions = new Map<string, number>()
  /** Leases without Redis are of this process, and so are their numbers. */
  readonly #fences = new Map<string, number>()
  #lastVersion = 0
  #onHead: (head: StoredHead) => void = () => {}

  constructor(folder: string, logger: Logger) {
    this.#folder = folder
    this.#logger = logger
  }

  async start(onHead: (head: StoredHead) => void): Promise<void> {
    this.#onHead = onHead
    for (const name of this.#fileNames()) {
      try {
        const { id, names, version } = this.#readFile(join(this.#folder, name))
        this.#versions.set(id, version)
        this.#lastVersion = Math.max(this.#lastVersion, version)
        onHead({ id, names, version })
      } catch (err) {
        this.#logger.error({ err, file: join(this.#folder, name) }, 'a stored certificate is lost')
      }
    }
  }

  async read(id: string): Promise<CertificateSet | null> {
    return this.#versions.has(id) ? this.#readFile(this.#fileOf(id)) : null
  }

  async put(
    id: string,
    names: readonly string[],
    pairs: readonly CertificatePair[],
    fence = 0,
  ): Promise<number> {
    if (fence > 0 && fence < (this.#fences.get(id) ?? 0)) throw new StaleFence(id)
    if (!this.#versions.has(id) && this.#versions.size >= MAX_STORED_SETS) {
      throw new StoreUnavailable(`There are ${MAX_STORED_SETS} certificates; delete some.`)
    }
    const version = this.#lastVersion + 1
    const set: CertificateSet = { id, names, version, pairs }
    writePrivateFile(this.#fileOf(id), JSON.stringify(set))
    this.#lastVersion = version
    this.#versions.set(id, version)
    if (fence > 0) this.#fences.set(id, fence)
    this.#onHead({ id, names, version })
    return version
  }

  async remove(id: string): Promise<boolean> {
    if (!this.#versions.has(id)) return false
    rmSync(this.#fileOf(id), { force: true })
    syncFolder(this.#folder)
    this.#versions.delete(id)
    this.#onHead({ id, names: [], version: ++this.#lastVersion })
    return true
  }

  async stop(): Promise<void> {}

  #fileNames(): string[] {
    try {
      return readdirSync(this.#folder).filter((name) => name.endsWith('.json'))
    } catch (error) {
      // What fs throws is an Error with a code; without the folder nothing has been stored.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }

  #readFile(file: string): CertificateSet {
    const set: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (!isSet(set)) throw new Error('It is not in the form that was written.')
    return set
  }

  /** Ids have characters that file names cannot have. */
  #fileOf(id: string): string {
    return join(this.#folder, `${createHash('sha256').update(id).digest('hex')}.json`)
  }
}

function isSet(value: unknown): value is CertificateSet {
  if (typeof value !== 'object' || value === null) return false
  const { id, names, version, pairs } = value as Partial<Record<keyof CertificateSet, unknown>>
  const isWhole = typeof id === 'string' && Number.isSafeInteger(version)
  return isWhole && Array.isArray(names) && Array.isArray(pairs)
}

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type CertificatePair,
  type CertificateSet,
  type CertificateVault,
  checkPair,
} from '@larder/certs'

interface Kept extends CertificateSet {
  readonly fence: number
}

/** Certificates of one machine as files of a folder, one for each id, readable by their owner alone. */
export class FolderVault implements CertificateVault {
  readonly #folder: string
  /** Commits, one after the other. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(folder: string) {
    this.#folder = folder
  }

  current(id: string): Promise<CertificateSet | null> {
    return this.#read(id)
  }

  commit(
    id: string,
    names: readonly string[],
    pairs: readonly CertificatePair[],
    fence = 0,
  ): Promise<number> {
    const version = this.#queue.then(() => this.#commit(id, names, pairs, fence))
    this.#queue = version.catch(() => {})
    return version
  }

  async #commit(
    id: string,
    names: readonly string[],
    pairs: readonly CertificatePair[],
    fence: number,
  ): Promise<number> {
    for (const pair of pairs) {
      const check = checkPair(pair, `the certificate of ${id}`, `the key of ${id}`)
      if (!check.ok) throw new Error(check.message)
    }
    const before = await this.#read(id)
    if (before !== null && fence !== 0 && fence < before.fence) {
      throw new Error(
        `The certificate of '${id}' is refused: another renewal began after this one, and what it brought stays.`,
      )
    }
    const version = (before?.version ?? 0) + 1
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const kept: Kept = { id, names, version, pairs, fence: Math.max(fence, before?.fence ?? 0) }
    await writeFile(this.#fileOf(id), JSON.stringify(kept), { mode: 0o600 })
    return version
  }

  async #read(id: string): Promise<Kept | null> {
    let text: string
    try {
      text = await readFile(this.#fileOf(id), 'utf8')
    } catch (error) {
      // What fs throws is an Error with a code.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
    try {
      // Written whole by `#commit` alone.
      return JSON.parse(text) as Kept
    } catch {
      throw new Error(
        `'${this.#fileOf(id)}' cannot be read. Remove it: a new certificate is ordered.`,
      )
    }
  }

  #fileOf(id: string): string {
    return join(this.#folder, `${encodeURIComponent(id)}.json`)
  }
}

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CertificatePair, checkPair } from './read.ts'

const RENEW_BEFORE_MS = 14 * 86_400_000
/** In every certificate, so that a try from this machine works. */
const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1']

/**
 * The development authority kept in a folder, and the certificates that it has issued: the same ones after a
 * restart, so that whoever chose to trust it does not have to choose again.
 */
export class DevelopmentAuthority {
  readonly #folder: string
  readonly #now: () => number

  constructor(folder: string, now: () => number = Date.now) {
    this.#folder = folder
    this.#now = now
  }

  /** Where a client finds what it has to trust: `curl --cacert`. */
  get certificateFile(): string {
    return join(this.#folder, 'authority.crt')
  }

  /** Where the certificate of `id` and its key are. */
  filesOf(id: string): readonly [certFile: string, keyFile: string] {
    const name = fileNameOf(id)
    return [join(this.#folder, `${name}.crt`), join(this.#folder, `${name}.key`)]
  }

  /** The stored certificate when it still covers these names, a new one otherwise. */
  async certificateFor(id: string, hosts: readonly string[]): Promise<CertificatePair> {
    const now = this.#now()
    const names = [...new Set([...LOCAL_NAMES, ...hosts.filter((host) => host !== '*')])]
    const authority = await this.#authority(now)
    const fileName = fileNameOf(id)
    const stored = this.#read(fileName)
    if (stored !== undefined && isGood(stored, names, now)) {
      // A leaf of an authority that has been replaced would not be trusted.
      if (stored.certPem.includes(authority.certPem.trim())) return stored
    }
    const { issueCertificate } = await issuing()
    const issued = await issueCertificate(authority, names, now)
    this.#write(fileName, issued)
    return issued
  }

  async #authority(now: number): Promise<CertificatePair> {
    const stored = this.#read('authority')
    if (stored !== undefined && isGood(stored, [], now)) return stored
    const { createAuthority } = await issuing()
    const created = await createAuthority(now)
    this.#write('authority', created)
    return created
  }

  #read(name: string): CertificatePair | undefined {
    try {
      return {
        certPem: readFileSync(join(this.#folder, `${name}.crt`), 'utf8'),
        keyPem: readFileSync(join(this.#folder, `${name}.key`), 'utf8'),
      }
    } catch (error) {
      // What fs throws is an Error with a code.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  #write(name: string, pair: CertificatePair): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    this.#replaceFile(`${name}.key`, pair.keyPem)
    this.#replaceFile(`${name}.crt`, pair.certPem)
  }

  /** Whole or not at all, whenever the process ends. */
  #replaceFile(name: string, text: string): void {
    const file = join(this.#folder, name)
    const temporary = `${file}.${process.pid}`
    writeFileSync(temporary, text, { mode: 0o600 })
    renameSync(temporary, file)
  }
}

/** The authority's own name is taken. */
function fileNameOf(id: string): string {
  return id === 'authority' ? 'tenant-authority' : id
}

/** Loaded only when something is issued: workers read certificates and start faster without the X.509 library. */
function issuing() {
  return import('./self-signed.ts')
}

function isGood(pair: CertificatePair, names: readonly string[], now: number): boolean {
  const check = checkPair(pair, '', '')
  if (!check.ok || check.facts.notAfterAt < now + RENEW_BEFORE_MS) return false
  const known = new Set(check.facts.names.map(canonicalName))
  return names.every((name) => known.has(canonicalName(name)))
}

/** node:crypto prints addresses of IPv6 without their abbreviation. */
function canonicalName(name: string): string {
  return name.includes(':') ? new URL(`http://[${name}]`).hostname : name
}

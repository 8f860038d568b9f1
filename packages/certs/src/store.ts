import { createHash } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { CertificatePair } from './read.ts'

/** A pair and the names it answers to: exact, `*.name` for one label in front, `*` for every name left. */
export interface CertificateEntry extends CertificatePair {
  readonly names: readonly string[]
}

export interface CertificateStoreOptions {
  /** What a client gets that asks for a name nobody has, or for none, when no entry is for `*`. */
  readonly unknownServerName: 'refuse' | 'default'
  /** Ciphers, versions, session ticket keys; the same for every context. */
  readonly secureContext?: SecureContextOptions
  /** A pair that OpenSSL refuses: told once, and its names are refused from then on. */
  readonly onError?: (error: unknown, names: readonly string[]) => void
}

export interface CertificatePairs {
  /** Other certificates have another id or a higher version. */
  readonly id: string
  readonly version: number
  readonly pairs: readonly CertificatePair[]
}

/**
 * Certificates by server name (SNI, RFC 6066 §3). Contexts cost memory and time, so each is made when the first
 * client asks for it, and kept over `replaceAll` when its pair stays the same.
 */
export class CertificateStore {
  #options: CertificateStoreOptions
  #byName = new Map<string, LazyContext>()
  #first: LazyContext | undefined

  constructor(options: CertificateStoreOptions, entries: readonly CertificateEntry[] = []) {
    this.#options = options
    this.replaceAll(entries)
  }

  /** Swaps everything at once; handshakes under way keep what they were given. */
  replaceAll(
    entries: readonly CertificateEntry[],
    options: CertificateStoreOptions = this.#options,
  ): void {
    const reusable = new Map<string, LazyContext>()
    if (options.secureContext === this.#options.secureContext) {
      for (const context of this.#byName.values()) reusable.set(context.identity, context)
    }
    const byName = new Map<string, LazyContext>()
    let first: LazyContext | undefined
    for (const entry of entries) {
      const fresh = new LazyContext(entry, options)
      const context = reusable.get(fresh.identity) ?? fresh
      first ??= context
      for (const name of entry.names) byName.set(name.toLowerCase(), context)
    }
    this.#options = options
    this.#byName = byName
    this.#first = first
  }

  /** The context for a name as the client sent it; null = refuse the handshake. Never throws. */
  contextFor(serverName: string | undefined): SecureContext | null {
    return this.#find(serverName)?.get() ?? null
  }

  /** The certificates behind `contextFor`, for who makes contexts of its own. */
  pairsFor(serverName: string | undefined): CertificatePairs | null {
    return this.#find(serverName)?.pairs ?? null
  }

  #find(serverName: string | undefined): LazyContext | undefined {
    // A pattern is no name: whoever asks for one gets what unknown names get.
    if (serverName !== undefined && serverName !== '' && !serverName.includes('*')) {
      const name = canonicalName(serverName)
      const exact = this.#byName.get(name)
      if (exact !== undefined) return exact
      const dot = name.indexOf('.')
      // A wildcard stands for exactly one label (RFC 9525 §6.3), and not for an empty one.
      const wildcard = dot > 0 ? this.#byName.get(`*${name.slice(dot)}`) : undefined
      if (wildcard !== undefined) return wildcard
    }
    const fallback = this.#byName.get('*')
    if (fallback !== undefined) return fallback
    return this.#options.unknownServerName === 'default' ? this.#first : undefined
  }
}

class LazyContext {
  readonly identity: string
  readonly #entry: CertificateEntry
  readonly #options: CertificateStoreOptions
  #context: SecureContext | null | undefined

  constructor(entry: CertificateEntry, options: CertificateStoreOptions) {
    this.identity = `${entry.certPem}\n${entry.keyPem}`
    this.#entry = entry
    this.#options = options
    this.#context = undefined
  }

  get pairs(): CertificatePairs {
    const id = createHash('sha256').update(this.identity).digest('base64url')
    return { id, version: 1, pairs: [this.#entry] }
  }

  get(): SecureContext | null {
    if (this.#context !== undefined) return this.#context
    const { certPem, keyPem, names } = this.#entry
    try {
      this.#context = createSecureContext({
        ...this.#options.secureContext,
        cert: certPem,
        key: keyPem,
      })
    } catch (error) {
      // An exception inside the SNI callback would end the worker.
      this.#context = null
      this.#options.onError?.(error, names)
    }
    return this.#context
  }
}

function canonicalName(name: string): string {
  const lower = name.toLowerCase()
  return lower.endsWith('.') ? lower.slice(0, -1) : lower
}

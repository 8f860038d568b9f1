import { lookup, Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'

/** Addresses are asked for anew after this long, and used meanwhile. */
const REFRESH_MS = 30_000
/** With the name service down, the last good addresses serve for this long. */
const MAX_STALE_MS = 600_000
const QUERY_TIMEOUT_MS = 2_000
const MAX_NAMES = 10_000

interface Known {
  addresses: readonly string[]
  resolvedAt: number
  refreshing: Promise<readonly string[]> | null
}

/**
 * Names to addresses through the name servers, not through getaddrinfo, whose slow answers would hold the four threads
 * that files need, too; that one is asked only for what the name servers do not know (the hosts file).
 */
export class OriginResolver {
  readonly #resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: 2 })
  readonly #known = new Map<string, Known>()
  readonly #now: () => number

  /** `now` in ms. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** At least one address; rejects with the error of the name service. */
  async resolve(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host]
    const known = this.#known.get(host)
    const age = known === undefined ? Number.POSITIVE_INFINITY : this.#now() - known.resolvedAt
    if (known === undefined || age > MAX_STALE_MS) return this.#refresh(host)
    if (age > REFRESH_MS && known.refreshing === null) {
      // What is known serves on; the failure of a refresh shows when it has become too old.
      this.#refresh(host).catch(() => undefined)
    }
    return known.addresses
  }

  #refresh(host: string): Promise<readonly string[]> {
    const known = this.#known.get(host)
    if (known?.refreshing) return known.refreshing
    const refreshing = this.#query(host).then(
      (addresses) => {
        if (this.#known.size >= MAX_NAMES) this.#known.clear()
        this.#known.set(host, { addresses, resolvedAt: this.#now(), refreshing: null })
        return addresses
      },
      (error: unknown) => {
        if (known !== undefined) known.refreshing = null
        throw error
      },
    )
    if (known !== undefined) known.refreshing = refreshing
    return refreshing
  }

  async #query(host: string): Promise<readonly string[]> {
    // Names of this machine alone: no name server should be asked for them (RFC 6761 §6.3).
    if (host === 'localhost' || host.endsWith('.localhost')) return this.#lookUp(host)
    const [v4, v6] = await Promise.allSettled([
      this.#resolver.resolve4(host),
      this.#resolver.resolve6(host),
    ])
    const addresses = [
      ...(v4.status === 'fulfilled' ? v4.value : []),
      ...(v6.status === 'fulfilled' ? v6.value : []),
    ]
    return addresses.length > 0 ? addresses : this.#lookUp(host)
  }

  async #lookUp(host: string): Promise<readonly string[]> {
    const found = await lookup(host, { all: true, order: 'ipv4first' })
    return found.map(({ address }) => address)
  }
}

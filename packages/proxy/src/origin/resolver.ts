import { lookup, Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'

/** Addresses are asked for anew after this long, and used meanwhile. */
const REFRESH_MS = 30_000
/** After a refresh that failed the next one waits for this long. */
const RETRY_MS = 5_000
/** With the name service down, the last good addresses serve for this long. */
const MAX_STALE_MS = 600_000
const QUERY_TIMEOUT_MS = 2_000

interface Known {
  readonly addresses: readonly string[]
  readonly resolvedAt: number
  refreshAt: number
}

export interface ResolverOptions {
  /** ms, monotonic. */
  readonly now?: () => number
  /** Name servers as `address:port`; those of the system without. */
  readonly servers?: readonly string[]
}

/**
 * Names to addresses through the name servers, not through getaddrinfo, whose slow answers would hold the four threads
 * that files need, too; that one is asked only for what the name servers do not know (the hosts file).
 */
export class OriginResolver {
  readonly #resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: 2 })
  readonly #known = new Map<string, Known>()
  readonly #asking = new Map<string, Promise<readonly string[]>>()
  readonly #now: () => number

  constructor({ now = () => performance.now(), servers }: ResolverOptions = {}) {
    this.#now = now
    if (servers !== undefined) this.#resolver.setServers(servers)
  }

  /** At least one address; rejects with the error of the name service. */
  async resolve(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host]
    const now = this.#now()
    const known = this.#known.get(host)
    if (known === undefined || now - known.resolvedAt > MAX_STALE_MS) return this.#ask(host)
    if (now >= known.refreshAt) {
      known.refreshAt = now + RETRY_MS
      // What is known serves on; the failure of a refresh shows when it has become too old.
      this.#ask(host).catch(() => undefined)
    }
    return known.addresses
  }

  /** However many want to know, the name servers are asked once. */
  #ask(host: string): Promise<readonly string[]> {
    const running = this.#asking.get(host)
    if (running !== undefined) return running
    const asking = this.#query(host)
      .then((addresses) => {
        const resolvedAt = this.#now()
        this.#known.set(host, { addresses, resolvedAt, refreshAt: resolvedAt + REFRESH_MS })
        return addresses
      })
      .finally(() => this.#asking.delete(host))
    this.#asking.set(host, asking)
    return asking
  }

  async #query(host: string): Promise<readonly string[]> {
    // Names of this machine alone: no name server should be asked for them (RFC 6761 §6.3).
    if (host === 'localhost' || host.endsWith('.localhost')) return lookUp(host)
    const [v4, v6] = await Promise.allSettled([
      this.#resolver.resolve4(host),
      this.#resolver.resolve6(host),
    ])
    if (v4.status === 'fulfilled' || v6.status === 'fulfilled') {
      const addresses = [
        ...(v4.status === 'fulfilled' ? v4.value : []),
        ...(v6.status === 'fulfilled' ? v6.value : []),
      ]
      if (addresses.length > 0) return addresses
    }
    // A name server that does not answer says nothing about the name, and getaddrinfo would wait for it as well.
    if (v4.status === 'rejected' && !NOT_IN_DNS.has(v4.reason.code)) throw v4.reason
    return lookUp(host)
  }
}

/** The name servers know no address, or there is no name server. */
const NOT_IN_DNS: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'ENODATA', 'ECONNREFUSED'])

async function lookUp(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, order: 'ipv4first' })
  return found.map(({ address }) => address)
}

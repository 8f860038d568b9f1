/** What a protocol engine gives its listener of each connection. */
export interface EngineConnection {
  /** Finishes what is under way, takes nothing new, then closes. */
  drain(): void
  destroy(): void
  /** The socket is closed. */
  onClose: (() => void) | null
}

/** The connections of one listener, from accept to close: how many there are, from where, and how to end them. */
export class ConnectionRegistry {
  readonly #entries = new Set<RegisteredConnection>()
  readonly #perAddress = new Map<string, number>()
  #whenEmpty: (() => void)[] = []

  get size(): number {
    return this.#entries.size
  }

  /** null when there are enough; otherwise to be given back through `remove`. */
  add(maxConnections: number, destroy: () => void): RegisteredConnection | null {
    if (this.#entries.size >= maxConnections) return null
    const entry: RegisteredConnection = { destroy, engine: null, address: null }
    this.#entries.add(entry)
    return entry
  }

  /** Counts the connection for the client it came from; false when that client has enough of them. */
  countAddress(entry: RegisteredConnection, address: string, maxPerAddress: number): boolean {
    const count = (this.#perAddress.get(address) ?? 0) + 1
    if (count > maxPerAddress) return false
    this.#perAddress.set(address, count)
    entry.address = address
    return true
  }

  remove(entry: RegisteredConnection): void {
    if (!this.#entries.delete(entry)) return
    if (entry.address !== null) {
      const count = (this.#perAddress.get(entry.address) ?? 1) - 1
      if (count > 0) this.#perAddress.set(entry.address, count)
      else this.#perAddress.delete(entry.address)
    }
    if (this.#entries.size > 0) return
    const waiting = this.#whenEmpty
    this.#whenEmpty = []
    for (const resolve of waiting) resolve()
  }

  /** Those that speak no protocol yet are in their handshake: whoever gives them an engine drains it at once. */
  drain(): void {
    for (const entry of [...this.#entries]) entry.engine?.drain()
  }

  destroy(): void {
    for (const entry of [...this.#entries]) entry.destroy()
  }

  empty(): Promise<void> {
    if (this.#entries.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenEmpty.push(resolve))
  }
}

export interface RegisteredConnection {
  destroy: () => void
  /** null until the protocol is known. */
  engine: EngineConnection | null
  address: string | null
}

import type { CertificateSet } from '@larder/certs'

/** Sets in memory, the one unused for longest first to go. Several who want one wait for one reading. */
export class LoadedSets {
  readonly #max: number
  readonly #sets = new Map<string, CertificateSet>()
  readonly #reading = new Map<string, Promise<CertificateSet | null>>()

  constructor(max: number) {
    this.#max = max
  }

  has(id: string): boolean {
    return this.#sets.has(id)
  }

  /** What is here, or what `read` gives; that it gives null is not remembered. */
  async get(
    id: string,
    read: () => Promise<CertificateSet | null>,
  ): Promise<CertificateSet | null> {
    const loaded = this.#sets.get(id)
    if (loaded !== undefined) {
      this.#sets.delete(id)
      this.#sets.set(id, loaded)
      return loaded
    }
    const waiting = this.#reading.get(id)
    if (waiting !== undefined) return waiting
    const reading = read().then((set) => {
      // Whoever put something newer meanwhile was right.
      if (this.#reading.get(id) !== reading) return this.#sets.get(id) ?? set
      if (set !== null) this.put(set)
      return set
    })
    this.#reading.set(id, reading)
    try {
      return await reading
    } finally {
      if (this.#reading.get(id) === reading) this.#reading.delete(id)
    }
  }

  put(set: CertificateSet): void {
    this.#reading.delete(set.id)
    this.#sets.delete(set.id)
    this.#sets.set(set.id, set)
    for (const id of this.#sets.keys()) {
      if (this.#sets.size <= this.#max) return
      this.#sets.delete(id)
    }
  }

  drop(id: string): void {
    this.#reading.delete(id)
    this.#sets.delete(id)
  }
}

const RETRY_MS = 500
/** Beyond it the oldest are forgotten: their responses live on until they expire. */
const MAX_OWED = 10_000

/**
 * Keys that had to be removed while Redis could not be reached. Until that is made up for, what Redis has of them does
 * not count; it is tried again and again, because other machines cannot know.
 */
export class OwedRemovals {
  readonly #remove: (key: string) => Promise<boolean>
  readonly #keys = new Set<string>()
  #timer: NodeJS.Timeout | null = null
  #closed = false

  /** `remove` resolves to whether it has worked, and never rejects. */
  constructor(remove: (key: string) => Promise<boolean>) {
    this.#remove = remove
  }

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  get count(): number {
    return this.#keys.size
  }

  add(key: string): void {
    if (this.#closed) return
    if (this.#keys.size >= MAX_OWED) {
      const [oldest] = this.#keys
      this.#keys.delete(oldest)
    }
    this.#keys.add(key)
    this.#schedule()
  }

  /** It has been removed after all. */
  settle(key: string): void {
    this.#keys.delete(key)
  }

  #schedule(): void {
    if (this.#timer !== null || this.#closed || this.#keys.size === 0) return
    this.#timer = setTimeout(() => void this.#retry(), RETRY_MS)
    this.#timer.unref()
  }

  async #retry(): Promise<void> {
    for (const key of [...this.#keys]) {
      // One failure says enough about the others.
      if (!(await this.#remove(key))) break
      this.#keys.delete(key)
    }
    this.#timer = null
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#keys.clear()
    if (this.#timer !== null) clearTimeout(this.#timer)
  }
}

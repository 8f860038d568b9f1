/**
 * Writes of one key one after the other, so that the last word stays the last word. Keys do not wait for each other.
 * What waits here is bounded by its bytes.
 */
export class WriteQueue {
  readonly #maxBytes: number
  readonly #last = new Map<string, Promise<void>>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Of the bodies that wait, and those that are being written. */
  get bytes(): number {
    return this.#bytes
  }

  /** True when a body of so many bytes can be taken; a single one always can. */
  hasRoomFor(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#maxBytes
  }

  /** `write` holds so many bytes, and must not reject. */
  async run(key: string, bytes: number, write: () => Promise<void>): Promise<void> {
    const before = this.#last.get(key)
    const running = before === undefined ? write() : before.then(write)
    this.#last.set(key, running)
    this.#bytes += bytes
    await running
    this.#bytes -= bytes
    if (this.#last.get(key) === running) this.#last.delete(key)
  }

  /** Resolves when all that has been asked for so far is done. */
  async settled(): Promise<void> {
    await Promise.all(this.#last.values())
  }
}

/** Writes of one key one after the other, so that the last word stays the last word. Keys do not wait for each other. */
export class WriteQueue {
  readonly #last = new Map<string, Promise<void>>()

  /** `write` must not reject. */
  run(key: string, write: () => Promise<void>): Promise<void> {
    const before = this.#last.get(key)
    const running = before === undefined ? write() : before.then(write)
    this.#last.set(key, running)
    return running.then(() => {
      if (this.#last.get(key) === running) this.#last.delete(key)
    })
  }

  get length(): number {
    return this.#last.size
  }

  /** Resolves when all that has been asked for so far is done. */
  async settled(): Promise<void> {
    await Promise.all(this.#last.values())
  }
}

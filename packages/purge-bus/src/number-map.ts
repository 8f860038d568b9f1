/** About what V8 spends on one more entry, beside its characters. */
const ENTRY_BYTES = 72

/**
 * The highest number that each text was given, the one that was raised longest ago first. Numbers are above 0. As
 * purges mostly come in order, the first is mostly the lowest too.
 */
export class NumberMap {
  readonly #numbers = new Map<string, number>()
  #bytes = 0

  get size(): number {
    return this.#numbers.size
  }

  /** An estimate. */
  get bytes(): number {
    return this.#bytes
  }

  /** 0 when there is none. */
  get(text: string): number {
    return this.#numbers.get(text) ?? 0
  }

  raise(text: string, number: number): void {
    const held = this.#numbers.get(text)
    if (held === undefined) this.#bytes += ENTRY_BYTES + text.length
    else if (held >= number) return
    else this.#numbers.delete(text)
    this.#numbers.set(text, number)
  }

  entries(): IterableIterator<[string, number]> {
    return this.#numbers.entries()
  }

  delete(text: string): void {
    if (this.#numbers.delete(text)) this.#bytes -= ENTRY_BYTES + text.length
  }

  clear(): void {
    this.#numbers.clear()
    this.#bytes = 0
  }

  /** Drops from the front as long as the numbers there are at most this. */
  dropUpTo(number: number): void {
    for (const [text, held] of this.#numbers) {
      if (held > number) return
      this.delete(text)
    }
  }
}

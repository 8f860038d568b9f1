import { NumberMap } from './number-map.ts'

/** Lengths of prefixes that are told apart; each costs a look-up one comparison. */
const MAX_LENGTHS = 128

/**
 * Numbers of prefixes. A look-up tries the key's beginnings of the lengths that occur, so that its cost depends on the
 * lengths and not on the prefixes. With too many lengths a prefix is cut to a shorter one: it covers more, never less.
 */
export class PrefixMarks {
  readonly numbers = new NumberMap()
  /** The highest number that each length was given. */
  readonly #lengths = new Map<number, number>()

  /** False when no prefix that is short enough can stand for it. */
  raise(prefix: string, number: number): boolean {
    const length = this.#lengthFor(prefix.length)
    if (length === undefined) return false
    this.numbers.raise(prefix.slice(0, length), number)
    this.#lengths.set(length, Math.max(number, this.#lengths.get(length) ?? 0))
    return true
  }

  /** True when one of the key's prefixes has a number above this. */
  hasAbove(key: string, number: number): boolean {
    for (const [length, highest] of this.#lengths) {
      if (highest <= number || length > key.length) continue
      if (this.numbers.get(key.slice(0, length)) > number) return true
    }
    return false
  }

  /** The highest number of the key's prefixes; 0 when none has one. */
  highestOf(key: string): number {
    let highest = 0
    for (const length of this.#lengths.keys()) {
      if (length <= key.length) highest = Math.max(highest, this.numbers.get(key.slice(0, length)))
    }
    return highest
  }

  /** After numbers were dropped. */
  forgetLengths(): void {
    if (this.numbers.size === 0) this.#lengths.clear()
  }

  #lengthFor(wanted: number): number | undefined {
    if (this.#lengths.has(wanted) || this.#lengths.size < MAX_LENGTHS) return wanted
    let best: number | undefined
    for (const length of this.#lengths.keys()) {
      if (length < wanted && (best === undefined || length > best)) best = length
    }
    return best
  }
}

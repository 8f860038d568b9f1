import { randomInt } from 'node:crypto'

/** A filter as it goes from process to process. */
export interface NameFilterImage {
  /** A power of two of them. */
  readonly bits: Uint8Array
  readonly seed: number
}

const BITS_PER_NAME = 16
const MIN_BITS = 1 << 14
const MAX_BITS = 1 << 28
const HASHES = 4

/**
 * Which names there are, in two octets for each (a Bloom filter): 'no' is certain, 'yes' is wrong about once in four
 * hundred times. So whoever asks for made-up names costs a look into this and no question, and a process need not hold
 * the names. The seed keeps anyone outside from choosing names that are taken for others.
 */
export class NameFilter {
  readonly #bits: Uint8Array
  readonly #mask: number
  readonly #seed: number

  constructor({ bits, seed }: NameFilterImage) {
    this.#bits = bits
    this.#mask = bits.length * 8 - 1
    this.#seed = seed
  }

  static forNames(count: number): NameFilter {
    const wanted = Math.min(MAX_BITS, Math.max(MIN_BITS, count * BITS_PER_NAME))
    const bits = 2 ** Math.ceil(Math.log2(wanted))
    return new NameFilter({ bits: new Uint8Array(bits / 8), seed: randomInt(2 ** 32) })
  }

  /** As many names as this it takes; with more it says 'yes' too often. */
  get capacity(): number {
    return (this.#bits.length * 8) / (BITS_PER_NAME / 2)
  }

  get image(): NameFilterImage {
    return { bits: this.#bits, seed: this.#seed }
  }

  add(name: string): void {
    const step = this.#hash(name, 0x85ebca6b) | 1
    for (let i = 0, at = this.#hash(name, 0x01000193); i < HASHES; i++, at += step) {
      const bit = (at & this.#mask) >>> 0
      this.#bits[bit >>> 3] |= 1 << (bit & 7)
    }
  }

  has(name: string): boolean {
    const step = this.#hash(name, 0x85ebca6b) | 1
    for (let i = 0, at = this.#hash(name, 0x01000193); i < HASHES; i++, at += step) {
      const bit = (at & this.#mask) >>> 0
      if ((this.#bits[bit >>> 3] & (1 << (bit & 7))) === 0) return false
    }
    return true
  }

  /** FNV-1a with the seed and a factor to choose, and a finish that spreads every bit (MurmurHash3). */
  #hash(name: string, factor: number): number {
    let hash = this.#seed ^ factor
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), factor)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    return hash ^ (hash >>> 16)
  }
}

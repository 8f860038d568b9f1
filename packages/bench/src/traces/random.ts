/**
 * The same numbers for the same seed on every machine: sfc32 (Chris Doty-Humphrey's PractRand), seeded through SplitMix32.
 * Not for secrets.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#a = mixed(seed)
    this.#b = mixed(seed + 1)
    this.#c = mixed(seed + 2)
    for (let i = 0; i < 12; i++) this.uint32()
  }

  /** 0 to 2³² − 1. */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** 0 included, 1 not. */
  unit(): number {
    return this.uint32() / 2 ** 32
  }

  /** A whole number from 0 to `limit` − 1. */
  below(limit: number): number {
    return Math.floor(this.unit() * limit)
  }
}

/** 32 bits that look like chance and always are the same for the same number: what SplitMix32 makes of it. */
export function mixed(number: number): number {
  let bits = (Math.imul(number, 0x9e3779b9) + 0x85ebca6b) | 0
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad)
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
  return (bits ^ (bits >>> 15)) >>> 0
}

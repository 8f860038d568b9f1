/** Places in which a fingerprint may be. */
const WAYS = 4
const INITIAL_PLACES = 4096
const MAX_PLACES = 2 ** 24

/**
 * Fingerprints of what was evicted lately. No queue, only a table with the number of each departure: what is older than
 * is asked for counts as gone. 8 bytes a place. Where more than four belong in the same four places the oldest is forgotten,
 * one in ten of a full table: it costs one more miss.
 */
export class Ghosts {
  #fingerprints = new Uint32Array(INITIAL_PLACES)
  /** By place; 0 for an empty one. */
  #leftAt = new Uint32Array(INITIAL_PLACES)
  #departures = 0

  /** `expected`: how many are worth remembering. */
  add(fingerprint: number, expected: number): void {
    if (expected > this.#leftAt.length && this.#leftAt.length < MAX_PLACES) this.#grow()
    // After 2³² departures the count begins again, and some are forgotten.
    this.#departures = (this.#departures + 1) >>> 0 || 1
    this.#put(fingerprint, this.#departures)
  }

  /** True when it is among the last `most` that have left. It is forgotten then. */
  take(fingerprint: number, most: number): boolean {
    const start = this.#placeOf(fingerprint)
    for (let place = start; place < start + WAYS; place++) {
      const leftAt = this.#leftAt[place]
      if (this.#fingerprints[place] !== fingerprint || leftAt === 0) continue
      this.#leftAt[place] = 0
      return (this.#departures - leftAt) >>> 0 < most
    }
    return false
  }

  #placeOf(fingerprint: number): number {
    return fingerprint & (this.#leftAt.length - WAYS)
  }

  #put(fingerprint: number, leftAt: number): void {
    const start = this.#placeOf(fingerprint)
    let oldest = start
    for (let place = start; place < start + WAYS; place++) {
      if (this.#leftAt[place] === 0 || this.#fingerprints[place] === fingerprint) {
        oldest = place
        break
      }
      if (this.#leftAt[place] < this.#leftAt[oldest]) oldest = place
    }
    this.#fingerprints[oldest] = fingerprint
    this.#leftAt[oldest] = leftAt
  }

  #grow(): void {
    const [fingerprints, leftAt] = [this.#fingerprints, this.#leftAt]
    this.#fingerprints = new Uint32Array(fingerprints.length * 2)
    this.#leftAt = new Uint32Array(leftAt.length * 2)
    for (let place = 0; place < leftAt.length; place++) {
      if (leftAt[place] !== 0) this.#put(fingerprints[place], leftAt[place])
    }
  }
}

/** 32 bits of a key: FNV-1a, and a last mixing so that the low bits depend on all. */
export function fingerprintOf(key: string): number {
  let bits = 0x811c9dc5
  for (let i = 0; i < key.length; i++) bits = Math.imul(bits ^ key.charCodeAt(i), 0x01000193)
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
  return (bits ^ (bits >>> 15)) >>> 0
}

import { logNormalBytes } from './body-sizes.ts'
import { WEB_MEDIAN_BYTES, WEB_SPREAD } from './popularity.ts'
import { Random } from './random.ts'
import type { Trace, TraceOptions } from './trace.ts'
import { Zipf } from './zipf.ts'

const SKEW = 0.9
/** Pages that a crawler takes one after the other before clients have their turn again, on average. */
const BURST = 2_000
/** Of all requests, those of crawlers. */
const SCAN_SHARE = 0.4

/**
 * Clients by Zipf's law, and crawlers that walk through all objects in an order of their own, in long bursts, most of
 * them asked for by nobody else for a long time.
 */
export class ScanTrace implements Trace {
  readonly name = 'scans: 40 % crawlers in bursts of 2,000'
  readonly idLimit: number
  readonly bytesOf: (id: number) => number
  readonly #random: Random
  readonly #zipf: Zipf
  /** Steps by a number that shares no factor with the number of objects reach every one of them. */
  readonly #step: number
  #crawlerAt = 0
  #left = 0
  #scanning = true

  constructor({ seed, objects }: TraceOptions) {
    this.idLimit = objects
    this.bytesOf = logNormalBytes(seed, WEB_MEDIAN_BYTES, WEB_SPREAD)
    this.#random = new Random(seed)
    this.#zipf = new Zipf(objects, SKEW)
    this.#step = coprimeStep(objects)
  }

  fill(ids: Uint32Array): void {
    for (let i = 0; i < ids.length; i++) {
      if (this.#left === 0) this.#turn()
      this.#left--
      ids[i] = this.#scanning ? this.#crawl() : this.#zipf.rank(this.#random)
    }
  }

  #turn(): void {
    this.#scanning = !this.#scanning
    const average = this.#scanning ? BURST : (BURST * (1 - SCAN_SHARE)) / SCAN_SHARE
    this.#left = 1 + this.#random.below(2 * average)
  }

  #crawl(): number {
    this.#crawlerAt = (this.#crawlerAt + this.#step) % this.idLimit
    return this.#crawlerAt
  }
}

function coprimeStep(size: number): number {
  let step = Math.max(1, Math.floor(size * 0.618))
  while (greatestCommonDivisor(step, size) !== 1) step++
  return step
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}

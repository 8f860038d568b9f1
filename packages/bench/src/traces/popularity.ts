import { logNormalBytes } from './body-sizes.ts'
import { Random } from './random.ts'
import type { Trace, TraceOptions } from './trace.ts'
import { Zipf } from './zipf.ts'

/** Bodies of pages, scripts and pictures. */
export const WEB_MEDIAN_BYTES = 9 * 1024
export const WEB_SPREAD = 1.4

export interface PopularityOptions extends TraceOptions {
  readonly name: string
  readonly skew: number
  /** Of all requests: for objects that nobody asks for again. */
  readonly oneHitShare?: number
}

/** Independent requests by Zipf's law, with one-hit wonders among them. Ids by popularity, then the wonders in order. */
export class PopularityTrace implements Trace {
  readonly name: string
  readonly idLimit: number
  readonly bytesOf: (id: number) => number
  readonly #random: Random
  readonly #zipf: Zipf
  readonly #oneHitShare: number
  #nextWonder: number

  constructor(options: PopularityOptions) {
    const { name, seed, requests, objects, skew, oneHitShare = 0 } = options
    this.name = name
    this.idLimit = objects + (oneHitShare > 0 ? requests : 0)
    this.bytesOf = logNormalBytes(seed, WEB_MEDIAN_BYTES, WEB_SPREAD)
    this.#random = new Random(seed)
    this.#zipf = new Zipf(objects, skew)
    this.#oneHitShare = oneHitShare
    this.#nextWonder = objects
  }

  fill(ids: Uint32Array): void {
    for (let i = 0; i < ids.length; i++) {
      const wonder = this.#oneHitShare > 0 && this.#random.unit() < this.#oneHitShare
      ids[i] = wonder ? this.#nextWonder++ : this.#zipf.rank(this.#random)
    }
  }
}

import { logNormalBytes } from './body-sizes.ts'
import { WEB_MEDIAN_BYTES, WEB_SPREAD } from './popularity.ts'
import { Random } from './random.ts'
import type { Trace, TraceOptions } from './trace.ts'
import { Zipf } from './zipf.ts'

const SKEW = 0.95
const DAYS = 4
/** Of the ranks that a request may have, this share goes to other objects in a day, the most popular as soon as any. */
const RENEWED_SHARE_PER_DAY = 0.5

/**
 * Two publics, one awake by day and one by night, each with its own objects by Zipf's law. And news: all the time ranks
 * go over to objects that nobody has seen before, so that what was popular yesterday is not today.
 */
export class DriftTrace implements Trace {
  readonly name = 'drift: four days, half of the ranks renewed in each'
  readonly idLimit: number
  readonly bytesOf: (id: number) => number
  readonly #random: Random
  readonly #zipf: Zipf
  /** Which object has which rank, for either public. */
  readonly #byRank: readonly [Uint32Array, Uint32Array]
  readonly #requestsPerDay: number
  readonly #renewEvery: number
  #nextId: number
  #count = 0

  constructor({ seed, requests, objects }: TraceOptions) {
    const half = Math.ceil(objects / 2)
    this.bytesOf = logNormalBytes(seed, WEB_MEDIAN_BYTES, WEB_SPREAD)
    this.#random = new Random(seed)
    this.#zipf = new Zipf(half, SKEW)
    this.#byRank = [Uint32Array.from({ length: half }, (_, i) => i * 2), new Uint32Array(half)]
    for (let i = 0; i < half; i++) this.#byRank[1][i] = i * 2 + 1
    this.#requestsPerDay = Math.max(1, requests / DAYS)
    const renewalsPerDay = half * 2 * RENEWED_SHARE_PER_DAY
    this.#renewEvery = this.#requestsPerDay / renewalsPerDay
    this.#nextId = half * 2
    this.idLimit = half * 2 + Math.ceil(requests / this.#renewEvery) + 1
  }

  fill(ids: Uint32Array): void {
    for (let i = 0; i < ids.length; i++) ids[i] = this.#next()
  }

  #next(): number {
    this.#count++
    while (this.#nextId - this.#byRank[0].length * 2 < this.#count / this.#renewEvery) this.#renew()
    const dayShare = 0.5 + 0.45 * Math.sin((2 * Math.PI * this.#count) / this.#requestsPerDay)
    const byRank = this.#byRank[this.#random.unit() < dayShare ? 0 : 1]
    return byRank[this.#zipf.rank(this.#random)]
  }

  #renew(): void {
    const byRank = this.#byRank[this.#random.below(2)]
    byRank[this.#random.below(byRank.length)] = this.#nextId++
  }
}

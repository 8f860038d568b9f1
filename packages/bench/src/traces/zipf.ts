import type { Random } from './random.ts'

/**
 * Ranks by Zipf's law: rank k (from 0) is drawn in proportion to 1 / (k + 1)^skew. By rejection-inversion (Hörmann and
 * Derflinger 1996, "Rejection-inversion to generate variates from monotone discrete distributions"): no table, so a
 * catalogue may be as large as it likes, and 1.1 tries for a rank.
 */
export class Zipf {
  readonly #size: number
  readonly #skew: number
  readonly #first: number
  readonly #range: number
  readonly #accepted: number

  /** `skew` above 0; the requests of web caches have 0.6 to 1.1 (Breslau et al. 1999). */
  constructor(size: number, skew: number) {
    this.#size = size
    this.#skew = skew
    this.#first = this.#integral(1.5) - 1
    this.#range = this.#integral(size + 0.5) - this.#first
    this.#accepted = 2 - this.#inverse(this.#integral(2.5) - this.#density(2))
  }

  rank(random: Random): number {
    for (;;) {
      const area = this.#first + random.unit() * this.#range
      const x = this.#inverse(area)
      const k = Math.min(this.#size, Math.max(1, Math.round(x)))
      if (k - x <= this.#accepted || area >= this.#integral(k + 0.5) - this.#density(k)) {
        return k - 1
      }
    }
  }

  #density(x: number): number {
    return x ** -this.#skew
  }

  /** Of the density, from 1; a logarithm where the skew is 1. */
  #integral(x: number): number {
    const power = 1 - this.#skew
    return Math.abs(power) < 1e-9 ? Math.log(x) : (x ** power - 1) / power
  }

  #inverse(area: number): number {
    const power = 1 - this.#skew
    return Math.abs(power) < 1e-9 ? Math.exp(area) : (1 + area * power) ** (1 / power)
  }
}

/** Places in use that are remembered, over all files. */
const MAX_PLACES = 1_000_000

/** Which records were read since they were written, or written again. */
export class HotPlaces {
  readonly #byFile = new Map<number, Set<number>>()
  #count = 0

  /** Pairs of segment and offset. */
  note(places: readonly number[]): void {
    for (let i = 0; i + 1 < places.length; i += 2) {
      if (this.#count >= MAX_PLACES) this.#forgetOldest()
      let offsets = this.#byFile.get(places[i])
      if (offsets === undefined) {
        offsets = new Set()
        this.#byFile.set(places[i], offsets)
      }
      this.#count -= offsets.size
      offsets.add(places[i + 1])
      this.#count += offsets.size
    }
  }

  /** Those of one file, which is evicted. */
  take(file: number): ReadonlySet<number> {
    const offsets = this.#byFile.get(file) ?? new Set<number>()
    this.#byFile.delete(file)
    this.#count -= offsets.size
    return offsets
  }

  /** The file that was noted first: what is known of it is the oldest news. */
  #forgetOldest(): void {
    for (const file of this.#byFile.keys()) {
      this.take(file)
      return
    }
  }
}

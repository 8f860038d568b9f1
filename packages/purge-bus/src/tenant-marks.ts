import { NumberMap } from './number-map.ts'
import { PrefixMarks } from './prefix-marks.ts'

/** How many of a tenant's numbers go at once when room is needed. */
const FOLD_AT_ONCE = 1_024

/** The numbers of one kind, hard or soft, of one tenant. */
export class Marks {
  /** Of the tenant as a whole. */
  number = 0
  readonly tags = new NumberMap()
  /** The highest number that any tag was given. */
  highestTag = 0
  readonly keys = new NumberMap()
  readonly prefixes = new PrefixMarks()
  /** What `keys` and `prefixes` were made of: URLs as they came, with the tenant they are meant for. */
  readonly urlSources = new NumberMap()
  readonly prefixSources = new NumberMap()

  get maps(): readonly NumberMap[] {
    return [this.tags, this.keys, this.prefixes.numbers, this.urlSources, this.prefixSources]
  }

  covers(key: string, tags: readonly string[], number: number): boolean {
    if (this.number > number) return true
    if (this.keys.size > 0 && this.keys.get(key) > number) return true
    if (this.tags.size > 0) {
      for (const tag of tags) if (this.tags.get(tag) > number) return true
    }
    return this.prefixes.numbers.size > 0 && this.prefixes.hasAbove(key, number)
  }

  /** The highest number that covers it; 0 when none does. */
  highestOf(key: string, tags: readonly string[]): number {
    const ofTags = tags.map((tag) => this.tags.get(tag))
    return Math.max(this.number, this.keys.get(key), this.prefixes.highestOf(key), ...ofTags)
  }

  /** What a number for all of the tenant makes superfluous. */
  dropUpTo(number: number): void {
    for (const map of this.maps) map.dropUpTo(number)
    this.prefixes.forgetLengths()
  }

  /** When `number` is at least every number in here. */
  clear(): void {
    for (const map of this.maps) map.clear()
    this.prefixes.forgetLengths()
  }
}

/** All numbers of one tenant. */
export class TenantMarks {
  readonly hard = new Marks()
  readonly soft = new Marks()

  get size(): number {
    let size = 0
    for (const map of this.#maps()) size += map.size
    return size
  }

  get bytes(): number {
    let bytes = 0
    for (const map of this.#maps()) bytes += map.bytes
    return bytes
  }

  /** Drops the lowest numbers, and returns the highest of them; 0 when there is none. */
  foldOldest(): number {
    const fronts = this.#maps().map((map) => {
      const entries = map.entries()
      return { map, entries, first: entries.next() }
    })
    let folded = 0
    for (let dropped = 0; dropped < FOLD_AT_ONCE; dropped++) {
      let oldest: (typeof fronts)[number] | undefined
      for (const front of fronts) {
        if (front.first.done) continue
        if (oldest === undefined || oldest.first.done) oldest = front
        else if (front.first.value[1] < oldest.first.value[1]) oldest = front
      }
      if (oldest === undefined || oldest.first.done) break
      const [text, number] = oldest.first.value
      oldest.map.delete(text)
      oldest.first = oldest.entries.next()
      folded = Math.max(folded, number)
    }
    // Numbers that are equal go together: the floor covers them.
    this.hard.dropUpTo(folded)
    this.soft.dropUpTo(folded)
    return folded
  }

  #maps(): NumberMap[] {
    return [...this.hard.maps, ...this.soft.maps]
  }
}

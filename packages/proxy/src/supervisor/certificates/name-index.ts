import { type KnownSet, SOURCE_KINDS } from './known-set.ts'

/** In front of the id of a set that was put by name. */
export const ADMIN_ID = 'name/'

/** Which sets there are for a name. Most names have one; no list is made for those. */
export class NameIndex {
  readonly #byName = new Map<string, KnownSet | KnownSet[]>()
  readonly #sets = new Set<KnownSet>()

  /** Names, wildcards included. */
  get size(): number {
    return this.#byName.size
  }

  get sets(): ReadonlySet<KnownSet> {
    return this.#sets
  }

  names(): Iterable<string> {
    return this.#byName.keys()
  }

  has(name: string): boolean {
    return this.#byName.has(name)
  }

  /** With the names that it has now, in place of those before. */
  put(set: KnownSet, namesBefore: readonly string[]): void {
    if (this.#sets.has(set)) for (const name of namesBefore) this.#unlink(name, set)
    this.#sets.add(set)
    for (const name of set.names) this.#link(name, set)
  }

  drop(set: KnownSet): void {
    this.#sets.delete(set)
    for (const name of set.names) this.#unlink(name, set)
  }

  /** Exactly this name or wildcard, the one to be served first. */
  find(name: string): readonly KnownSet[] {
    const found = this.#byName.get(name)
    if (found === undefined) return []
    if (!Array.isArray(found)) return [found]
    return found.toSorted((a, b) => precedence(a, b, name))
  }

  #link(name: string, set: KnownSet): void {
    const found = this.#byName.get(name)
    if (found === undefined) this.#byName.set(name, set)
    else if (!Array.isArray(found)) {
      if (found !== set) this.#byName.set(name, [found, set])
    } else if (!found.includes(set)) found.push(set)
  }

  #unlink(name: string, set: KnownSet): void {
    const found = this.#byName.get(name)
    if (found === set) this.#byName.delete(name)
    if (!Array.isArray(found)) return
    const rest = found.filter((one) => one !== set)
    if (rest.length === 0) this.#byName.delete(name)
    else this.#byName.set(name, rest)
  }
}

function precedence(a: KnownSet, b: KnownSet, name: string): number {
  return (
    SOURCE_KINDS.indexOf(a.source) - SOURCE_KINDS.indexOf(b.source) ||
    // Among those put by name: the one for this very name, then the latest.
    Number(b.id === ADMIN_ID + name) - Number(a.id === ADMIN_ID + name) ||
    b.version - a.version
  )
}

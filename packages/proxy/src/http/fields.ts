/**
 * A field section (RFC 9110 §5, §6.3): names in lower case, values as received, in order.
 *
 * One flat array, name and value alternating: a request has some ten fields, and a linear scan over ten short
 * strings is cheaper to build, copy and search than a Map. Values are Latin-1 text (one char per byte).
 */
export class Fields {
  readonly list: string[]

  /** Takes ownership of `list`, whose names must be lower case. */
  constructor(list: string[] = []) {
    this.list = list
  }

  static from(entries: Iterable<readonly [string, string]>): Fields {
    const fields = new Fields()
    for (const [name, value] of entries) fields.add(name.toLowerCase(), value)
    return fields
  }

  /** All lines of the field joined by ", " (RFC 9110 §5.3); undefined when absent. */
  get(name: string): string | undefined {
    const list = this.list
    let value: string | undefined
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) value = value === undefined ? list[i + 1] : `${value}, ${list[i + 1]}`
    }
    return value
  }

  /** The lines of the field, one by one. */
  values(name: string): string[] {
    const found: string[] = []
    const list = this.list
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) found.push(list[i + 1])
    return found
  }

  has(name: string): boolean {
    const list = this.list
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return true
    return false
  }

  /** Adds one line; `name` must be lower case. */
  add(name: string, value: string): void {
    this.list.push(name, value)
  }

  /** Replaces every line of the field by one, in the place of the first. */
  set(name: string, value: string): void {
    const list = this.list
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== name) continue
      list[i + 1] = value
      this.#removeFrom(name, i + 2)
      return
    }
    list.push(name, value)
  }

  delete(name: string): void {
    this.#removeFrom(name, 0)
  }

  #removeFrom(name: string, start: number): void {
    const list = this.list
    let kept = start
    for (let i = start; i < list.length; i += 2) {
      if (list[i] === name) continue
      list[kept] = list[i]
      list[kept + 1] = list[i + 1]
      kept += 2
    }
    list.length = kept
  }

  /** A copy without the fields that `omit` names. */
  without(omit: (name: string) => boolean): Fields {
    const list = this.list
    const kept: string[] = []
    for (let i = 0; i < list.length; i += 2) if (!omit(list[i])) kept.push(list[i], list[i + 1])
    return new Fields(kept)
  }

  clone(): Fields {
    return new Fields(this.list.slice())
  }

  *[Symbol.iterator](): IterableIterator<[string, string]> {
    const list = this.list
    for (let i = 0; i < list.length; i += 2) yield [list[i], list[i + 1]]
  }

  /** Bytes of memory counted for the section: its text, and 16 per line for the two references. */
  get byteLength(): number {
    let bytes = 0
    for (const text of this.list) bytes += text.length + 8
    return bytes
  }
}

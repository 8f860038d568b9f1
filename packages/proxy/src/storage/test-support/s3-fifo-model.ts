import { fingerprintOf } from '../eviction/ghosts.ts'
import { S3Fifo } from '../eviction/s3-fifo.ts'

/** Of different sizes, so that shares of bytes and of numbers differ. */
function bytesOf(key: number): number {
  return 20 + (key % 7) * 13
}

/** What the memory tier does with an order, in short. */
export class S3FifoCache {
  readonly keys = new Set<number>()
  readonly #order = new S3Fifo()
  readonly #slots = new Map<number, number>()
  readonly #room: number
  #bytes = 0

  constructor(room: number) {
    this.#room = room
  }

  ask(key: number): void {
    const slot = this.#slots.get(key)
    if (slot === undefined) this.#add(key, false)
    else this.#order.visit(slot)
  }

  remove(key: number): void {
    const slot = this.#slots.get(key)
    if (slot === undefined) return
    this.#order.remove(slot)
    this.#slots.delete(key)
    this.keys.delete(key)
    this.#bytes -= bytesOf(key)
  }

  freshen(key: number): void {
    if (!this.keys.has(key)) return
    this.remove(key)
    this.#add(key, true)
  }

  #add(key: number, proven: boolean): void {
    while (this.#bytes + bytesOf(key) > this.#room) {
      const slot = this.#order.victim()
      for (const [evicted, held] of this.#slots) if (held === slot) this.remove(evicted)
    }
    this.#bytes += bytesOf(key)
    this.#slots.set(key, this.#order.add(fingerprintOf(`${key}`), bytesOf(key), proven))
    this.keys.add(key)
  }
}

interface Held {
  readonly key: number
  uses: number
}

/** The algorithm with arrays, oldest first. */
export class S3FifoModel {
  #small: Held[] = []
  #main: Held[] = []
  /** Departures from the small queue, the last one at the end; null when it has come back. */
  readonly #left: (number | null)[] = []
  readonly #room: number

  constructor(room: number) {
    this.#room = room
  }

  get keys(): number[] {
    return [...this.#small, ...this.#main].map(({ key }) => key)
  }

  ask(key: number): void {
    const held = [...this.#small, ...this.#main].find((one) => one.key === key)
    if (held === undefined) this.#add(key, false)
    else held.uses = Math.min(3, held.uses + 1)
  }

  remove(key: number): void {
    this.#small = this.#small.filter((one) => one.key !== key)
    this.#main = this.#main.filter((one) => one.key !== key)
  }

  freshen(key: number): void {
    if (!this.keys.includes(key)) return
    this.remove(key)
    this.#add(key, true)
  }

  #add(key: number, proven: boolean): void {
    while (total(this.#small) + total(this.#main) + bytesOf(key) > this.#room) this.#evict()
    const at = this.#left.lastIndexOf(key)
    const back = at !== -1 && this.#left.length - at <= this.#main.length
    if (at !== -1) this.#left[at] = null
    const queue = back || proven ? this.#main : this.#small
    queue.push({ key, uses: 0 })
  }

  #evict(): void {
    for (;;) {
      const [small, main] = [total(this.#small), total(this.#main)]
      const queue = small > (small + main) * 0.1 || main === 0 ? this.#small : this.#main
      const [oldest] = queue.splice(0, 1)
      if (oldest.uses === 0) {
        if (queue === this.#small) this.#left.push(oldest.key)
        return
      }
      if (queue === this.#small) this.#main.push({ key: oldest.key, uses: 0 })
      else this.#main.push({ key: oldest.key, uses: oldest.uses - 1 })
    }
  }
}

function total(queue: readonly Held[]): number {
  return queue.reduce((sum, { key }) => sum + bytesOf(key), 0)
}

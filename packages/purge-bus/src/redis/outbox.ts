import { existsSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { encodeRecord, readJournal } from '../journal/journal-record.ts'
import { JournalWriter } from '../journal/journal-writer.ts'
import { writeWhole } from '../journal/write-whole.ts'
import type { DeadLetter } from '../purge-bus.ts'

/** From this size on the journal is rewritten when little of it still matters. */
const COMPACT_FROM_BYTES = 1024 * 1024

type OutboxValue =
  | { readonly op: 'add'; readonly letter: DeadLetter }
  | { readonly op: 'done' | 'dead' | 'revive'; readonly ids: readonly string[] }

/**
 * Purges that Redis has not got yet, in order, on disk; and those that waited too long and were put aside. Two lists
 * with a bound each: who adds looks at `hasRoom` first.
 */
export class Outbox {
  readonly #path: string
  readonly #maxPending: number
  readonly #maxDead: number
  readonly #pending = new Map<string, DeadLetter>()
  readonly #dead = new Map<string, DeadLetter>()
  #writer: JournalWriter
  /** While the file is replaced. */
  #compacting: Promise<void> | null = null

  private constructor(
    path: string,
    maxPending: number,
    maxDead: number,
    writer: JournalWriter,
    values: readonly OutboxValue[],
  ) {
    this.#path = path
    this.#maxPending = maxPending
    this.#maxDead = maxDead
    this.#writer = writer
    for (const value of values) this.#take(value)
  }

  static async open(path: string, maxPending: number, maxDead: number): Promise<Outbox> {
    await mkdir(dirname(path), { recursive: true })
    const content = readJournal(existsSync(path) ? readFileSync(path) : Buffer.alloc(0))
    // Records are lists of what was written together. What comes after damage is as good as what comes before it.
    const values = [...content.values, ...content.afterDamage].flat() as OutboxValue[]
    const writer = await JournalWriter.open(path, content.soundBytes, true)
    const outbox = new Outbox(path, maxPending, maxDead, writer, values)
    await outbox.#compact()
    return outbox
  }

  get pending(): readonly DeadLetter[] {
    return [...this.#pending.values()]
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  get dead(): readonly DeadLetter[] {
    return [...this.#dead.values()]
  }

  get hasRoom(): boolean {
    return this.#pending.size < this.#maxPending || this.#dead.size < this.#maxDead
  }

  /** Pending purge with this reference. */
  withReference(reference: string): DeadLetter | undefined {
    return this.pending.find(({ message }) => message.reference === reference)
  }

  get(id: string): { letter: DeadLetter; isDead: boolean } | undefined {
    const pending = this.#pending.get(id)
    if (pending !== undefined) return { letter: pending, isDead: false }
    const dead = this.#dead.get(id)
    return dead && { letter: dead, isDead: true }
  }

  /** The first of those that wait, at most so many. */
  first(count: number): DeadLetter[] {
    const letters: DeadLetter[] = []
    for (const letter of this.#pending.values()) {
      if (letters.length >= count) break
      letters.push(letter)
    }
    return letters
  }

  /** Resolves when it is on disk; it is in the list at once, and stays there if it cannot be written. */
  add(letter: DeadLetter): Promise<void> {
    const excess = this.#pending.size - this.#maxPending + 1
    if (excess > 0) void this.bury(this.first(excess).map(({ id }) => id)).catch(() => {})
    return this.#change({ op: 'add', letter })
  }

  /** Redis has them. */
  async done(ids: readonly string[]): Promise<void> {
    await this.#change({ op: 'done', ids })
    if (this.#pending.size === 0 && this.#writer.bytes > COMPACT_FROM_BYTES) await this.#compact()
  }

  /** Puts aside what was published before this instant (epoch ms), as far as there is room; returns how many. */
  expire(before: number): number {
    const room = this.#maxDead - this.#dead.size
    const ids: string[] = []
    for (const { id, publishedAt } of this.#pending.values()) {
      if (publishedAt >= before || ids.length >= room) break
      ids.push(id)
    }
    // If it cannot be written, it is put aside again after a restart.
    void this.bury(ids).catch(() => {})
    return ids.length
  }

  /** Puts these aside. */
  async bury(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#change({ op: 'dead', ids })
  }

  /** Dead letters wait again; resolves to how many. */
  async revive(ids: readonly string[]): Promise<number> {
    const known = ids.filter((id) => this.#dead.has(id))
    const some = known.slice(0, Math.max(0, this.#maxPending - this.#pending.size))
    if (some.length > 0) await this.#change({ op: 'revive', ids: some })
    return some.length
  }

  async close(): Promise<void> {
    await this.#compacting
    await this.#writer.close()
  }

  #change(value: OutboxValue): Promise<void> {
    this.#take(value)
    if (this.#compacting === null) return this.#writer.append(value)
    return this.#compacting.then(() => this.#writer.append(value))
  }

  #take(value: OutboxValue): void {
    switch (value.op) {
      case 'add':
        this.#pending.set(value.letter.id, value.letter)
        return
      case 'done':
        for (const id of value.ids) this.#pending.delete(id)
        return
      case 'dead':
        move(value.ids, this.#pending, this.#dead)
        return
      case 'revive':
        move(value.ids, this.#dead, this.#pending)
    }
  }

  /** Writes down only what still matters. What changes meanwhile comes after it. */
  #compact(): Promise<void> {
    this.#compacting ??= this.#replaceFile().finally(() => {
      this.#compacting = null
    })
    return this.#compacting
  }

  async #replaceFile(): Promise<void> {
    const former = this.#writer
    const letters = [...this.#dead.values(), ...this.#pending.values()]
    const dead = [...this.#dead.keys()]
    const values: OutboxValue[] = letters.map((letter) => ({ op: 'add', letter }))
    if (dead.length > 0) values.push({ op: 'dead', ids: dead })
    const bytes = values.length === 0 ? Buffer.alloc(0) : encodeRecord(values)
    await former.close()
    let soundBytes = former.bytes
    try {
      await writeWhole(this.#path, bytes)
      soundBytes = bytes.length
    } finally {
      this.#writer = await JournalWriter.open(this.#path, soundBytes, true)
    }
  }
}

function move(
  ids: readonly string[],
  from: Map<string, DeadLetter>,
  to: Map<string, DeadLetter>,
): void {
  for (const id of ids) {
    const letter = from.get(id)
    if (letter === undefined) continue
    from.delete(id)
    to.set(id, letter)
  }
}

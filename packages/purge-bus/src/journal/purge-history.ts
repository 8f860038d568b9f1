import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import { PurgeTable, type PurgeTableOptions } from '../purge-table.ts'
import { encodePayload, type JournalContent, payloadAt, readJournal } from './journal-record.ts'
import { JournalWriter } from './journal-writer.ts'
import { syncFolder, writeWhole } from './write-whole.ts'

/** A new journal is begun, with a new snapshot, after so much: more with a larger table, whose snapshot costs more. */
const ROTATE_AFTER_VALUES = 10_000
const ROTATE_AFTER_BYTES = 16 * 1024 * 1024
const SNAPSHOT = 'table.snapshot'
const JOURNAL = /^purges-(\d{12})\.journal$/

export interface OpenedHistory {
  readonly history: PurgeHistory
  readonly table: PurgeTable
  /** What was given to the last snapshot; undefined when there was none. */
  readonly extra: unknown
  /** What the journals hold, oldest first, part of it older than the snapshot. */
  readonly values: readonly unknown[]
  /** What is wrong with what was kept; undefined when nothing is. */
  readonly damage: string | undefined
  /** Read behind the damage: of use to learn which numbers there were. */
  readonly afterDamage: readonly unknown[]
}

export interface PurgeHistoryOptions {
  readonly folder: string
  readonly table: PurgeTableOptions
  /** What was appended survives a power cut, not just the end of the process. */
  readonly sync: boolean
}

/**
 * What a machine knows of the sequence, on its disk: a snapshot of the table and journals of what came since, the one
 * before the snapshot too, so that the last purges can be told one by one.
 */
export class PurgeHistory {
  readonly #folder: string
  readonly #sync: boolean
  #generation: number
  #writer: JournalWriter
  #values: number
  #rotating: Promise<void> | null = null

  private constructor(
    options: PurgeHistoryOptions,
    generation: number,
    writer: JournalWriter,
    values: number,
  ) {
    this.#folder = options.folder
    this.#sync = options.sync
    this.#generation = generation
    this.#writer = writer
    this.#values = values
  }

  static async open(options: PurgeHistoryOptions): Promise<OpenedHistory> {
    const { folder } = options
    await mkdir(folder, { recursive: true })
    const snapshot = readSnapshot(folder, options.table)
    const journals = readJournals(folder)
    const last = journals.at(-1)
    const generation = last?.generation ?? 1
    const soundBytes = last?.content.soundBytes ?? 0
    const path = join(folder, journalName(generation))
    const writer = await JournalWriter.open(path, soundBytes, options.sync)
    await syncFolder(folder)
    const batches = journals.flatMap(({ content }) => content.values)
    const lastValues = last?.content.values.flatMap(asArray).length ?? 0
    return {
      history: new PurgeHistory(options, generation, writer, lastValues),
      table: snapshot.table ?? new PurgeTable(options.table),
      extra: snapshot.extra,
      values: batches.flatMap(asArray),
      damage: snapshot.damage ?? damageOf(journals),
      afterDamage: journals.flatMap(({ content }) => content.afterDamage).flatMap(asArray),
    }
  }

  /** Resolves when it is on disk, with `sync` for good. */
  async append(value: unknown): Promise<void> {
    this.#values++
    await this.#writer.append(value)
  }

  /** True when what was appended is worth a snapshot. */
  isDue(table: PurgeTable): boolean {
    const { entries, bytes } = table.stats
    if (this.#values > Math.max(ROTATE_AFTER_VALUES, entries)) return true
    return this.#writer.bytes > Math.max(ROTATE_AFTER_BYTES, bytes)
  }

  /**
   * Writes a snapshot and begins a new journal; the former one is kept unless it is damaged. Whatever is on its way to
   * the journal may be in the table or not. One at a time.
   */
  rotate(table: PurgeTable, extra: unknown, keepFormer = true): Promise<void> {
    this.#rotating ??= this.#rotate(table, extra, keepFormer).finally(() => {
      this.#rotating = null
    })
    return this.#rotating
  }

  async close(): Promise<void> {
    await this.#rotating?.catch(() => {})
    await this.#writer.close()
  }

  async #rotate(table: PurgeTable, extra: unknown, keepFormer: boolean): Promise<void> {
    const payload = serialize({ extra, table: table.serialise() })
    const next = this.#generation + 1
    // First the new journal: what is appended while the snapshot is written is in neither, or twice, never in none.
    const writer = await JournalWriter.open(join(this.#folder, journalName(next)), 0, this.#sync)
    const former = this.#writer
    this.#writer = writer
    this.#generation = next
    this.#values = 0
    await syncFolder(this.#folder)
    await former.close()
    await writeWhole(join(this.#folder, SNAPSHOT), encodePayload(payload))
    for (const { generation, name } of journalNames(this.#folder)) {
      if (generation < (keepFormer ? next - 1 : next))
        await rm(join(this.#folder, name), { force: true })
    }
  }
}

interface ReadJournalFile {
  readonly generation: number
  readonly content: JournalContent
}

function readJournals(folder: string): ReadJournalFile[] {
  return journalNames(folder).map(({ generation, name }) => ({
    generation,
    content: readJournal(readFileSync(join(folder, name))),
  }))
}

function journalNames(folder: string): { generation: number; name: string }[] {
  return readdirSync(folder)
    .map((name) => ({ name, generation: Number(JOURNAL.exec(name)?.[1]) }))
    .filter(({ generation }) => Number.isInteger(generation))
    .sort((a, b) => a.generation - b.generation)
}

function journalName(generation: number): string {
  return `purges-${String(generation).padStart(12, '0')}.journal`
}

/** A journal that was closed for its successor has no torn end; only the last one may have. */
function damageOf(journals: readonly ReadJournalFile[]): string | undefined {
  for (const [index, { generation, content }] of journals.entries()) {
    const isLast = index === journals.length - 1
    if (content.end === 'whole' || (isLast && content.end === 'torn')) continue
    return `the journal ${journalName(generation)} is damaged after ${content.soundBytes} bytes`
  }
  const missing = journals.find(
    ({ generation }, index) => index > 0 && generation !== journals[index - 1].generation + 1,
  )
  return missing && `the journal before ${journalName(missing.generation)} is missing`
}

interface Snapshot {
  readonly table: PurgeTable | undefined
  readonly extra: unknown
  readonly damage: string | undefined
}

function readSnapshot(folder: string, options: PurgeTableOptions): Snapshot {
  const nothing = { table: undefined, extra: undefined }
  let bytes: Buffer
  try {
    bytes = readFileSync(join(folder, SNAPSHOT))
  } catch (error) {
    // The first journal goes only after a snapshot has come.
    const isMissed = (journalNames(folder)[0]?.generation ?? 1) > 1
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT' && !isMissed) {
      return { ...nothing, damage: undefined }
    }
    return { ...nothing, damage: `${SNAPSHOT} cannot be read: ${error}` }
  }
  const payload = payloadAt(bytes, 0)
  if (payload === undefined) return { ...nothing, damage: `${SNAPSHOT} is damaged` }
  try {
    // Our own bytes: the checksum was right.
    const held = deserialize(payload) as { extra: unknown; table: Buffer }
    return { table: PurgeTable.restore(held.table, options), extra: held.extra, damage: undefined }
  } catch (error) {
    return { ...nothing, damage: `${SNAPSHOT} cannot be read: ${error}` }
  }
}

function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value]
}

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../../observability/logger.ts'
import { writePrivateFile } from '../write-private.ts'

/** Copies on one machine. */
const MAX_COPIES = 20_000

/**
 * Records of Redis that this machine has used, as they are there, keys encrypted: a machine that starts while Redis is
 * away serves by them.
 */
export class RecordCopies {
  readonly #folder: string
  readonly #logger: Logger
  readonly #names = new Set<string>()

  constructor(folder: string, logger: Logger) {
    this.#folder = folder
    this.#logger = logger
  }

  /** All there are. */
  read(): string[] {
    const records: string[] = []
    for (const name of this.#fileNames()) {
      try {
        records.push(readFileSync(join(this.#folder, name), 'utf8'))
        this.#names.add(name)
      } catch (err) {
        this.#logger.warn({ err, name }, 'the copy of a certificate cannot be read')
      }
    }
    return records
  }

  /** null when there is none. */
  get(id: string): string | null {
    const name = nameOf(id)
    return this.#names.has(name) ? readFileSync(join(this.#folder, name), 'utf8') : null
  }

  /** A copy is for bad days: that it cannot be made is told, and harms nobody today. */
  put(id: string, record: string): void {
    const name = nameOf(id)
    if (!this.#names.has(name) && this.#names.size >= MAX_COPIES) return
    try {
      if (this.get(id) === record) return
      writePrivateFile(join(this.#folder, name), record)
      this.#names.add(name)
    } catch (err) {
      this.#logger.warn({ err, id }, 'a certificate is not kept for a start without Redis')
    }
  }

  drop(id: string): void {
    if (this.#names.delete(nameOf(id))) rmSync(join(this.#folder, nameOf(id)), { force: true })
  }

  #fileNames(): string[] {
    try {
      const names = readdirSync(this.#folder).filter((name) => name.endsWith('.json'))
      return names.slice(0, MAX_COPIES)
    } catch (error) {
      // What fs throws is an Error with a code; without the folder nothing has been kept.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }
}

/** Ids have characters that file names cannot have. */
function nameOf(id: string): string {
  return `${createHash('sha256').update(id).digest('hex')}.json`
}

import { createHash } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { AccountStore } from './ports.ts'

/** Keys of accounts as files of one folder, one for each directory, readable by their owner alone. */
export class FolderAccountStore implements AccountStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async load(directoryUrl: string): Promise<string | null> {
    const file = this.#fileOf(directoryUrl)
    try {
      const text = await readFile(file, 'utf8')
      // Someone may have copied it with wider rights.
      if (((await stat(file)).mode & 0o077) !== 0) await chmod(file, 0o600)
      return text
    } catch (error) {
      // What fs throws is an Error with a code.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  async save(directoryUrl: string, keyPem: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await writeWhole(this.#fileOf(directoryUrl), keyPem)
  }

  #fileOf(directoryUrl: string): string {
    const mark = createHash('sha256').update(directoryUrl).digest('hex').slice(0, 16)
    return join(this.#folder, `account-${mark}.key`)
  }
}

/** The whole text or what was there, whenever the machine stops; mode 0600. */
export async function writeWhole(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}`
  const handle = await open(temporary, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
}

import { readdir, stat as statOf } from 'node:fs/promises'
import { join } from 'node:path'
import { largePath, segmentPath } from './disk-files.ts'

/** A segment or a large file. */
export interface StoredFile {
  readonly number: number
  readonly large: boolean
  readonly path: string
  /** Space that it takes. */
  readonly bytes: number
}

/** The newest files may still grow; the sizes of the others are asked for once. */
const MAY_GROW = 64

/** Lists what the disk tier has written, oldest first. */
export class StoredFiles {
  readonly #folder: string
  #sizes = new Map<number, number>()

  constructor(folder: string) {
    this.#folder = folder
  }

  async list(): Promise<StoredFile[]> {
    const found: { number: number; large: boolean; path: string }[] = []
    for (const name of await names(join(this.#folder, 'segments'))) {
      const number = Number.parseInt(name, 16)
      found.push({ number, large: false, path: segmentPath(this.#folder, number) })
    }
    for (const group of await names(join(this.#folder, 'large'))) {
      for (const name of await names(join(this.#folder, 'large', group))) {
        const number = Number.parseInt(name, 16)
        found.push({ number, large: true, path: largePath(this.#folder, number) })
      }
    }
    found.sort((a, b) => a.number - b.number)
    const sizes = new Map<number, number>()
    const files: StoredFile[] = []
    for (const [i, file] of found.entries()) {
      const known = i < found.length - MAY_GROW ? this.#sizes.get(file.number) : undefined
      const bytes = known ?? (await spaceOf(file.path))
      sizes.set(file.number, bytes)
      files.push({ ...file, bytes })
    }
    this.#sizes = sizes
    return files
  }
}

/** Space that a file takes, not its length: LMDB's has holes. 0 when it is missing. */
export async function spaceOf(path: string): Promise<number> {
  try {
    return (await statOf(path)).blocks * 512
  } catch (error) {
    ignoreMissing(error)
    return 0
  }
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    ignoreMissing(error)
    return []
  }
}

export function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}

import { access } from 'node:fs/promises'
import { largePath, segmentPath } from './disk-files.ts'
import type { IndexChange } from './disk-index.ts'
import type { EvictionTools } from './evict-file.ts'
import { OWN_FILE } from './location.ts'
import type { StoredFile } from './stored-files.ts'
import { tagOf } from './tag-index.ts'

/** Keys, and entries of tags, looked at in one step. */
const STEP_KEYS = 500

/**
 * Goes round the index in small steps and removes entries whose file is gone: after a crash, a damaged segment or a
 * full disk there may be some, and nobody may ever ask for them again.
 */
export class IndexSweep {
  #afterKey: Buffer | undefined
  #afterTag: Buffer | undefined

  async step(tools: EvictionTools, files: readonly StoredFile[]): Promise<void> {
    const gone = new GoneFiles(tools.folder, files)
    const changes = [...(await this.#keys(tools, gone)), ...(await this.#tags(tools, gone))]
    if (changes.length > 0) tools.index.apply(changes)
  }

  async #keys({ index }: EvictionTools, gone: GoneFiles): Promise<IndexChange[]> {
    const keys = index.scan(this.#afterKey, STEP_KEYS)
    this.#afterKey = keys.length < STEP_KEYS ? undefined : keys.at(-1)?.keyHash
    const changes: IndexChange[] = []
    for (const { keyHash, locations } of keys) {
      for (const location of locations) {
        const { segment, offset, bodySegment, bodyInFile } = location
        const lost =
          (await gone.has(segment, offset === OWN_FILE)) ||
          (await gone.has(bodySegment, bodyInFile))
        if (lost) changes.push({ kind: 'remove', keyHash, location })
      }
    }
    return changes
  }

  async #tags({ index }: EvictionTools, gone: GoneFiles): Promise<IndexChange[]> {
    const records = index.scanTags(this.#afterTag, STEP_KEYS)
    this.#afterTag = records.length < STEP_KEYS ? undefined : records.at(-1)?.entry
    const changes: IndexChange[] = []
    for (const place of records) {
      if (!(await gone.has(place.segment, place.offset === OWN_FILE))) continue
      changes.push({ kind: 'untag', tags: tagOf(place), place })
    }
    return changes
  }
}

/** Which files are not there any more. The list that it begins with may be older than a file. */
class GoneFiles {
  readonly #folder: string
  readonly #live: ReadonlySet<number>
  readonly #known = new Map<string, boolean>()

  constructor(folder: string, files: readonly StoredFile[]) {
    this.#folder = folder
    this.#live = new Set(files.map(({ number }) => number))
  }

  async has(number: number, large: boolean): Promise<boolean> {
    if (this.#live.has(number)) return false
    const path = (large ? largePath : segmentPath)(this.#folder, number)
    const known = this.#known.get(path)
    if (known !== undefined) return known
    const missing = await access(path).then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
    )
    this.#known.set(path, missing)
    return missing
  }
}

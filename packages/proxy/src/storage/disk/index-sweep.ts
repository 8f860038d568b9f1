import { access } from 'node:fs/promises'
import { largePath, segmentPath } from './disk-files.ts'
import type { IndexChange } from './disk-index.ts'
import type { EvictionTools } from './evict-file.ts'
import { OWN_FILE } from './location.ts'
import type { StoredFile } from './stored-files.ts'

/** Keys looked at in one step. */
const STEP_KEYS = 500

/**
 * Goes round the index in small steps and removes entries whose file is gone: after a crash, a damaged segment or a
 * full disk there may be some, and nobody may ever ask for them again.
 */
export class IndexSweep {
  #after: Buffer | undefined

  async step({ folder, index }: EvictionTools, files: readonly StoredFile[]): Promise<void> {
    const live = new Set(files.map(({ number }) => number))
    const keys = index.scan(this.#after, STEP_KEYS)
    this.#after = keys.length < STEP_KEYS ? undefined : keys.at(-1)?.keyHash
    const gone = new Map<string, boolean>()
    const isGone = async (path: string): Promise<boolean> => {
      // The list may be older than the file.
      const known = gone.get(path)
      if (known !== undefined) return known
      const missing = await access(path).then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
      )
      gone.set(path, missing)
      return missing
    }
    const changes: IndexChange[] = []
    for (const { keyHash, locations } of keys) {
      for (const location of locations) {
        const { segment, offset, bodySegment, bodyInFile } = location
        const headAt = (offset === OWN_FILE ? largePath : segmentPath)(folder, segment)
        const bodyAt = (bodyInFile ? largePath : segmentPath)(folder, bodySegment)
        const lost =
          (!live.has(segment) && (await isGone(headAt))) ||
          (!live.has(bodySegment) && (await isGone(bodyAt)))
        if (lost) changes.push({ kind: 'remove', keyHash, location })
      }
    }
    if (changes.length > 0) index.apply(changes)
  }
}

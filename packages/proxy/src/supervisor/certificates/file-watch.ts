import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../../observability/logger.ts'

/** Files are written in several steps; what is looked at is what is there after them. */
const SETTLE_MS = 200
/** More folders than this are looked at by the rescan alone: the kernel allows a user only so many watches. */
const MAX_FOLDERS = 1_000
/** With more changes at once, everything is looked at. */
const MAX_CHANGES = 10_000

export interface FileWatchOptions {
  readonly logger: Logger
  /** Paths that may have changed; null = any. Called again while an earlier call is under way. */
  readonly onChange: (paths: ReadonlySet<string> | null) => void
}

/** Says that something in these folders has changed, soon, and once for many changes at a time. */
export class FileWatch {
  readonly #options: FileWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  #changed: Set<string> | null = new Set()
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: FileWatchOptions) {
    this.#options = options
  }

  /** These and no others. Those that could not be watched are tried again. */
  setFolders(folders: Iterable<string>): void {
    if (this.#isClosed) return
    const wanted = new Set<string>()
    for (const folder of folders) if (wanted.size < MAX_FOLDERS) wanted.add(folder)
    for (const [folder, watcher] of this.#watchers) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#watchers.delete(folder)
    }
    for (const folder of wanted) if (!this.#watchers.has(folder)) this.#open(folder)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #open(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) =>
        this.#note(name === null ? null : join(folder, name)),
      )
      watcher.on('error', (err) => {
        this.#options.logger.debug({ err, folder }, 'a folder of certificates is not watched')
        watcher.close()
        if (this.#watchers.get(folder) === watcher) this.#watchers.delete(folder)
      })
      this.#watchers.set(folder, watcher)
    } catch (err) {
      // Not there, or no watches left: the rescan sees its changes, and tries again.
      this.#options.logger.debug({ err, folder }, 'a folder of certificates is not watched')
    }
  }

  #note(path: string | null): void {
    if (path === null || (this.#changed?.size ?? 0) >= MAX_CHANGES) this.#changed = null
    this.#changed?.add(path ?? '')
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      const changed = this.#changed
      this.#changed = new Set()
      this.#options.onChange(changed)
    }, SETTLE_MS)
  }
}

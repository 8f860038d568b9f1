import { closeFile, isUnlinked, largePath, openFile, segmentPath } from './disk-files.ts'

const MAX_OPEN = 256
const SWEEP_INTERVAL_MS = 5_000

interface OpenFile {
  readonly fd: number
  users: number
  /** No longer in the table: closed by its last user. */
  retired: boolean
}

/** Files open for reading, most recently used last; a file removed by eviction is let go within seconds. */
export class ReadFiles {
  readonly #folder: string
  readonly #open = new Map<string, Promise<OpenFile>>()
  readonly #sweeper: NodeJS.Timeout
  #closed = false

  constructor(folder: string) {
    this.#folder = folder
    this.#sweeper = setInterval(() => void this.#sweep(), SWEEP_INTERVAL_MS)
    this.#sweeper.unref()
  }

  /** Calls `use` with an open descriptor; rejects when the file is not there. */
  async use<T>(number: number, large: boolean, use: (fd: number) => Promise<T>): Promise<T> {
    const lease = await this.lease(number, large)
    try {
      return await use(lease.fd)
    } finally {
      lease.end()
    }
  }

  /** A descriptor that stays open until `end`, also when the file is removed meanwhile. */
  async lease(number: number, large: boolean): Promise<FileLease> {
    const path = (large ? largePath : segmentPath)(this.#folder, number)
    for (;;) {
      const file = await this.#opened(path)
      // The sweeper may have closed it in between.
      if (!file.retired || file.users > 0) return new FileLease(file)
    }
  }

  #opened(path: string): Promise<OpenFile> {
    if (this.#closed) return Promise.reject(new Error('the disk tier is closed'))
    let opening = this.#open.get(path)
    if (opening === undefined) {
      opening = openFile(path, 'r').then((fd) => ({ fd, users: 0, retired: false }))
      opening.catch(() => this.#open.delete(path))
    } else this.#open.delete(path)
    this.#open.set(path, opening)
    if (this.#open.size > MAX_OPEN) this.#retireOldest()
    return opening
  }

  #retireOldest(): void {
    for (const [path, opening] of this.#open) {
      this.#open.delete(path)
      opening.then(retire, () => undefined)
      return
    }
  }

  async #sweep(): Promise<void> {
    for (const [path, opening] of [...this.#open]) {
      const file = await opening.catch(() => undefined)
      if (file === undefined || !(await isUnlinked(file.fd))) continue
      if (this.#open.get(path) !== opening) continue
      this.#open.delete(path)
      retire(file)
    }
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#sweeper)
    for (const opening of this.#open.values()) opening.then(retire, () => undefined)
    this.#open.clear()
  }
}

export class FileLease {
  readonly #file: OpenFile
  #ended = false

  constructor(file: OpenFile) {
    this.#file = file
    file.users++
  }

  get fd(): number {
    return this.#file.fd
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#file.users--
    if (this.#file.retired && this.#file.users === 0) closeFile(this.#file.fd)
  }
}

function retire(file: OpenFile): void {
  if (file.retired) return
  file.retired = true
  if (file.users === 0) closeFile(file.fd)
}

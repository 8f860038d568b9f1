import { decodeHead } from '../record.ts'
import type { StoredMetadata } from '../stored-response.ts'
import { type StoredTally, TallyBuilder, tallyName } from '../stored-tally.ts'
import { closeFile, largePath, openFile, readExactly, segmentPath } from './disk-files.ts'
import type { DiskIndex } from './disk-index.ts'
import { type Location, OWN_FILE } from './location.ts'

/** Keys of one step; between two steps others get their turn. */
const STEP_KEYS = 200
const MAX_WALK_MS = 5_000
/** Files open at a time: the records of one step are spread over many segments. */
const MAX_OPEN = 64

export interface DiskCensus {
  readonly tally: StoredTally
  /** False when the time was over before the end of the walk. */
  readonly complete: boolean
}

/** A record that may count, and its key. */
interface Candidate {
  readonly keyHash: Buffer
  readonly location: Location
}

/**
 * Reads the head of every record that may count, for a bounded time, off the processes that serve: of those with one of
 * `tags` (as `tagHash` gives them), or without that of all.
 */
export async function takeDiskCensus(
  folder: string,
  index: DiskIndex,
  counts: (stored: StoredMetadata) => boolean,
  tags: readonly Buffer[] | undefined,
): Promise<DiskCensus> {
  const tally = new TallyBuilder()
  const heads = new HeadReader(folder)
  const endsAt = performance.now() + MAX_WALK_MS
  try {
    for (const step of tags === undefined ? everything(index) : tagged(index, tags)) {
      for (const { keyHash, location } of step) {
        const stored = await heads.read(keyHash, location)
        if (stored !== null && counts(stored)) {
          tally.add(tallyName(keyHash, location.slot), location.bodyBytes)
        }
      }
      if (performance.now() > endsAt) return { tally, complete: false }
    }
    return { tally, complete: true }
  } finally {
    heads.close()
  }
}

function* everything(index: DiskIndex): Generator<Candidate[]> {
  let after: Buffer | undefined
  for (;;) {
    const last = after
    const keys = index.scan(last, STEP_KEYS)
    yield keys
      // Where the last step ended the next begins.
      .filter(({ keyHash }) => last === undefined || !keyHash.equals(last))
      .flatMap(({ keyHash, locations }) => locations.map((location) => ({ keyHash, location })))
    if (keys.length < STEP_KEYS) return
    after = keys.at(-1)?.keyHash
  }
}

function* tagged(index: DiskIndex, tags: readonly Buffer[]): Generator<Candidate[]> {
  for (const tag of tags) {
    let after: Buffer | undefined
    for (;;) {
      const last = after
      const found = index.tagged(tag, last, STEP_KEYS)
      yield found.flatMap(({ record: { keyHash, entry }, location }) =>
        location === undefined || last?.equals(entry) ? [] : [{ keyHash, location }],
      )
      if (found.length < STEP_KEYS) break
      after = found.at(-1)?.record.entry
    }
  }
}

/** One that is gone or not sound is not counted: nobody would be served it. */
class HeadReader {
  readonly #folder: string
  readonly #open = new Map<string, number>()

  constructor(folder: string) {
    this.#folder = folder
  }

  async read(keyHash: Buffer, location: Location): Promise<StoredMetadata | null> {
    const { segment, offset, headBytes, bodyBytes } = location
    const ownFile = offset === OWN_FILE
    try {
      const fd = await this.#file((ownFile ? largePath : segmentPath)(this.#folder, segment))
      const bytes = await readExactly(fd, ownFile ? bodyBytes : offset, headBytes)
      return decodeHead(bytes, keyHash)?.metadata ?? null
    } catch {
      return null
    }
  }

  async #file(path: string): Promise<number> {
    const held = this.#open.get(path)
    if (held !== undefined) return held
    const fd = await openFile(path, 'r')
    this.#open.set(path, fd)
    if (this.#open.size > MAX_OPEN) {
      const [oldest, oldestFd] = this.#open.entries().next().value ?? ['', fd]
      this.#open.delete(oldest)
      closeFile(oldestFd)
    }
    return fd
  }

  close(): void {
    for (const fd of this.#open.values()) closeFile(fd)
    this.#open.clear()
  }
}

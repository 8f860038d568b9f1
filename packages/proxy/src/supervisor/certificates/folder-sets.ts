import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type CertificatePair, type CertificateSet, readFacts } from '@larder/certs'
import type { Logger } from '../../observability/logger.ts'
import { checkSet, commonNames, factsOfSet, type PairPlace } from './check-set.ts'
import { FileWatch } from './file-watch.ts'
import { halfOf, pairsAmong } from './folder-content.ts'
import { FOLDER_CERTIFICATE, FOLDER_KEY, nameOfStem, type Suffix } from './folder-names.ts'
import type { KnownSet, SetEvents, SetFacts, SetOwner } from './known-set.ts'
import { LoadedSets } from './loaded-sets.ts'
import { readPair, readText, stampOf } from './pair-files.ts'

export interface FolderSetsOptions {
  readonly folder: string
  /** Sets kept in memory. */
  readonly maxLoaded: number
  readonly events: SetEvents
  readonly logger: Logger
  /** Epoch ms. */
  readonly now: () => number
  /** Higher each time. */
  readonly nextVersion: () => number
}

/** Up to so many are read before anything is served, so that each of their names is known. */
const READ_AT_ONCE = 1_000
/** The others are read behind, so many between two pauses. */
const PORTION = 64
const PAUSE_MS = 10
/** Watches can be lost: everything is looked at so often, large folders less so. */
const RESCAN_MS = 30_000
const LARGE_RESCAN_MS = 300_000
/** A pair that does not match may be half written: it is looked at once more. */
const SECOND_LOOK_MS = 1_000

/** The pairs in a folder. What is there is known by file names; a pair is read when its name is asked for. */
export class FolderSets implements SetOwner {
  readonly #options: FolderSetsOptions
  /** By stem, with a slash behind it for a folder as certbot keeps it. */
  readonly #sets = new Map<string, FolderSet>()
  readonly #loaded: LoadedSets
  readonly #watch: FileWatch
  #timer: NodeJS.Timeout | undefined
  /** One look after the other. */
  #queue: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(options: FolderSetsOptions) {
    this.#options = options
    this.#loaded = new LoadedSets(options.maxLoaded)
    this.#watch = new FileWatch({
      logger: options.logger,
      onChange: (paths) => this.#enqueue(() => this.#look(paths)),
    })
  }

  /** Resolves when the names are known; those that only the certificates tell, of a large folder, follow. */
  async start(): Promise<void> {
    this.#watchFolders()
    const added = await this.#rescan()
    const first = this.#learn(added.slice(0, READ_AT_ONCE), false)
    if (added.length <= READ_AT_ONCE) await first
    else this.#enqueue(() => this.#learn(added, true))
    this.#planRescan()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#watch.close()
  }

  isInUse({ id }: KnownSet): boolean {
    return this.#loaded.has(id)
  }

  read(known: KnownSet): Promise<CertificateSet | null> {
    // Only sets that came from here are read from here.
    const set = known as FolderSet
    return this.#loaded.get(set.id, async () => {
      const found = await this.#readForFirst(set)
      if (found === undefined) return null
      set.refusedStamp = undefined
      set.stamp = found.stamp
      this.#options.events.loaded('folder')
      this.#renamed(set, found.names, found.facts, false)
      return { id: set.id, names: found.names, version: set.version, pairs: found.pairs }
    })
  }

  /** One good pair of two is better than none, when there is nothing that could stay. */
  async #readForFirst(set: FolderSet): Promise<ReadSet | undefined> {
    const places = this.#placesOf(set)
    let found = await this.#readPairs(places)
    if (typeof found !== 'string') return found
    const message = found
    const stamp = await stampOf(places)
    if (stamp !== set.refusedStamp) this.#refuse(set, message)
    set.refusedStamp = stamp
    for (const place of places.length > 1 ? places : []) {
      found = await this.#readPairs([place])
      if (typeof found === 'object') return found
    }
    return undefined
  }

  /** What can be served of them; a text when nothing can, undefined when they are not there. */
  async #readPairs(places: readonly PairPlace[]): Promise<ReadSet | string | undefined> {
    const pairs: CertificatePair[] = []
    const stamps: string[] = []
    try {
      for (const place of places) {
        const read = await readPair(place)
        if (read === undefined) return undefined
        pairs.push(read.pair)
        stamps.push(read.stamp)
      }
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
    const check = checkSet(pairs, places, this.#options.now())
    if (!check.ok) return check.message
    return { pairs, names: check.names, facts: check.facts, stamp: stamps.join(' ') }
  }

  #enqueue(work: () => Promise<unknown>): void {
    this.#queue = this.#queue.then(work).then(
      () => {},
      (err: unknown) =>
        this.#options.logger.error({ err, folder: this.#options.folder }, 'certificates not read'),
    )
  }

  #planRescan(): void {
    if (this.#isStopped) return
    const afterMs = this.#sets.size > READ_AT_ONCE ? LARGE_RESCAN_MS : RESCAN_MS
    this.#timer = setTimeout(() => {
      this.#enqueue(() => this.#look(null))
      this.#planRescan()
    }, afterMs).unref()
  }

  /** Null: at everything. */
  async #look(paths: ReadonlySet<string> | null): Promise<void> {
    if (this.#isStopped) return
    // Mounted secrets change all at once, by a link whose name begins so.
    const isAny = paths === null || [...paths].some((path) => basename(path).startsWith('..'))
    const keys = isAny ? null : [...paths].map((path) => this.#keyOf(path))
    const before = new Set(this.#sets.keys())
    // A new or a missing name is seen in the folder itself; that is cheap beside reading certificates.
    const added = await this.#rescan()
    await this.#learn(added, false)
    this.#watchFolders()
    let looked = 0
    const doubtful: FolderSet[] = []
    for (const key of keys === null ? before : new Set(keys)) {
      const set = key === undefined ? undefined : this.#sets.get(key)
      if (set === undefined || this.#isStopped) continue
      if ((await this.#lookAt(set)) !== undefined) doubtful.push(set)
      if (++looked % PORTION === 0) await pause(PAUSE_MS)
    }
    if (doubtful.length === 0) return
    await pause(SECOND_LOOK_MS)
    for (const set of doubtful) {
      const message = await this.#lookAt(set)
      if (message === undefined) continue
      this.#refuse(set, message)
      set.refusedStamp = await stampOf(this.#placesOf(set))
    }
  }

  /** Takes over what has changed; answers why it cannot. */
  async #lookAt(set: FolderSet): Promise<string | undefined> {
    const places = this.#placesOf(set)
    const stamp = await stampOf(places)
    if (stamp === undefined || stamp === set.stamp || stamp === set.refusedStamp) return undefined
    if (set.stamp === undefined && set.refusedStamp === undefined) {
      // Seen for the first time: whoever asks for it reads it as it is then.
      set.stamp = stamp
      return undefined
    }
    if (!this.#loaded.has(set.id)) {
      await this.#learn([set], false)
      set.stamp = stamp
      set.refusedStamp = undefined
      // Whoever was refused a moment ago may ask again.
      set.version = this.#options.nextVersion()
      this.#options.events.put(set, set.names, true)
      return undefined
    }
    const found = await this.#readPairs(places)
    if (typeof found !== 'object') return found
    set.stamp = found.stamp
    set.refusedStamp = undefined
    set.version = this.#options.nextVersion()
    const { names, pairs } = found
    this.#loaded.put({ id: set.id, names, version: set.version, pairs })
    this.#options.events.loaded('folder')
    this.#options.logger.info({ names: names.slice(0, 10), from: 'folder' }, 'new certificate')
    this.#renamed(set, names, found.facts, true)
    return undefined
  }

  #refuse(set: FolderSet, message: string): void {
    const stays = this.#loaded.has(set.id) ? ' The one before stays.' : ''
    this.#options.events.refused('folder', `${message}${stays}`)
  }

  #renamed(set: FolderSet, names: readonly string[], facts: SetFacts, isRenewed: boolean): void {
    const before = set.names
    set.names = sameNames(names, before) ? before : names
    set.facts = facts
    this.#options.events.put(set, before, isRenewed)
  }

  /** Reads the first certificate of each for its names, and nothing else. */
  async #learn(sets: readonly FolderSet[], slowly: boolean): Promise<void> {
    for (let from = 0; from < sets.length && !this.#isStopped; from += PORTION) {
      await Promise.all(sets.slice(from, from + PORTION).map((set) => this.#learnOne(set)))
      if (slowly) await pause(PAUSE_MS)
    }
  }

  async #learnOne(set: FolderSet): Promise<void> {
    if (set.facts !== undefined && this.#loaded.has(set.id)) return
    try {
      const read = await readText(this.#placesOf(set)[0].certFile)
      if (read === undefined) return
      const facts = readFacts(read.text)
      const names = commonNames([facts])
      if (names.length > 0) this.#renamed(set, names, factsOfSet([facts]), false)
    } catch {
      // Whoever asks for the name is told, by the log, what is wrong with it.
    }
  }

  /** Looks which pairs there are; returns the new ones. */
  async #rescan(): Promise<FolderSet[]> {
    const { folder, logger } = this.#options
    let entries: Dirent[]
    try {
      entries = await readdir(folder, { withFileTypes: true })
    } catch (err) {
      // A folder that is away for a moment, such as a mount, must not take the sites with it.
      logger.error(
        { err, folder },
        'the folder of certificates cannot be read; what is known stays',
      )
      return []
    }
    const { pairs: found, stems } = pairsAmong(entries)
    const added: FolderSet[] = []
    for (const [key, suffixes] of found) {
      const known = this.#sets.get(key)
      if (known !== undefined) {
        known.suffixes = suffixes
        continue
      }
      const set = newSet(key, suffixes, this, this.#options.nextVersion())
      this.#sets.set(key, set)
      this.#options.events.put(set, [], true)
      added.push(set)
    }
    for (const [key, set] of this.#sets) {
      // One half is being replaced: what is there stays until both are gone.
      if (found.has(key) || stems.has(key)) continue
      this.#sets.delete(key)
      this.#loaded.drop(set.id)
      this.#options.events.drop(set)
    }
    return added
  }

  #placesOf({ key, suffixes }: FolderSet): PairPlace[] {
    const { folder } = this.#options
    if (key.endsWith('/')) {
      const inner = join(folder, key)
      return [{ certFile: join(inner, FOLDER_CERTIFICATE), keyFile: join(inner, FOLDER_KEY) }]
    }
    return suffixes.map((suffix) => ({
      certFile: join(folder, `${key}${suffix}.crt`),
      keyFile: join(folder, `${key}${suffix}.key`),
    }))
  }

  /** Of the set that a path belongs to. */
  #keyOf(path: string): string | undefined {
    const inside = relative(this.#options.folder, path)
    const [first] = inside.split(sep)
    if (first !== inside || this.#sets.has(`${first}/`)) return `${first}/`
    return halfOf(first)
  }

  #watchFolders(): void {
    const { folder } = this.#options
    const inner = [...this.#sets.keys()].filter((key) => key.endsWith('/'))
    this.#watch.setFolders([folder, ...inner.map((key) => join(folder, key.slice(0, -1)))])
  }
}

interface ReadSet {
  readonly pairs: readonly CertificatePair[]
  readonly names: readonly string[]
  readonly facts: SetFacts
  readonly stamp: string
}

interface FolderSet extends KnownSet {
  readonly key: string
  suffixes: readonly Suffix[]
  /** Of the files as they are served; undefined until they were read. */
  stamp: string | undefined
  /** Of the files as they were refused. */
  refusedStamp: string | undefined
}

function newSet(
  key: string,
  suffixes: readonly Suffix[],
  owner: SetOwner,
  version: number,
): FolderSet {
  const name = nameOfStem(key.endsWith('/') ? key.slice(0, -1) : key)
  return {
    id: `folder/${key}`,
    source: 'folder',
    names: name === undefined ? [] : [name],
    version,
    facts: undefined,
    owner,
    key,
    suffixes,
    stamp: undefined,
    refusedStamp: undefined,
  }
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index])
}

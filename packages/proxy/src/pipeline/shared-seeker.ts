import type { Purges } from '../purge/purges.ts'
import type { MemoryTier } from '../storage/memory-tier.ts'
import { haveSameOctets } from '../storage/same-octets.ts'
import type { StoredHandle } from '../storage/shared-tier.ts'
import {
  isSameSlot,
  isSliced,
  type StoredMetadata,
  StoredResponse,
} from '../storage/stored-response.ts'
import type { TieredStore } from '../storage/tiered-store.ts'
import { isSelectedBy } from './find-stored.ts'
import { bodyLengthOf, LargeStored, type Reusable } from './large-stored.ts'
import type { Transaction } from './transaction.ts'

interface Waiting {
  readonly tx: Transaction
  readonly done: () => void
}

/**
 * Asks the tiers behind memory, once per key however many requests wait, and brings what fits into memory. Their
 * trouble is never a request's: what cannot be had is not there.
 */
export class SharedSeeker {
  readonly #memory: MemoryTier
  readonly #shared: TieredStore | null
  readonly #purges: Purges
  readonly #seeking = new Map<string, Waiting[]>()
  /** Keys whose removal is under way, with how many: what a tier still has of them does not count. */
  readonly #removing = new Map<string, number>()

  constructor(memory: MemoryTier, shared: TieredStore | null, purges: Purges) {
    this.#purges = purges
    this.#memory = memory
    this.#shared = shared
    memory.onHot = (stored) => this.#promote(stored)
  }

  /** False when there is nobody to ask; else `done` is called once, later. */
  seek(tx: Transaction, done: () => void): boolean {
    tx.sought = true
    if (this.#shared === null || this.#removing.has(tx.key)) return false
    const waiting = this.#seeking.get(tx.key)
    if (waiting !== undefined) {
      waiting.push({ tx, done })
      return true
    }
    this.#seeking.set(tx.key, [{ tx, done }])
    void this.#run(tx.key, this.#shared)
    return true
  }

  async #run(key: string, shared: TieredStore): Promise<void> {
    const handles = this.#usable(await shared.lookUp(key), shared)
    const waiting = this.#seeking.get(key) ?? []
    const loading = new Map<StoredHandle, Promise<StoredResponse | null>>()
    for (const { tx } of waiting) {
      if (this.#removing.has(key)) continue
      for (const handle of newestOfEach(handles, tx)) {
        const isLarge = handle.bodyLength > this.#memory.maxObjectBytes
        if (isLarge) tx.large = new LargeStored(handle, this.#current(handle))
        else if (!loading.has(handle)) loading.set(handle, this.#load(handle))
      }
    }
    const loaded = await Promise.all(loading.values())
    // From here to `done` nothing else runs: what comes for other keys at the same moment cannot push it out again.
    for (const stored of loaded) if (stored !== null) this.#hold(stored)
    // Those who came meanwhile look for themselves: they may want another variant.
    const all = this.#seeking.get(key) ?? []
    this.#seeking.delete(key)
    for (const { done } of all) done()
  }

  /** What is purged is taken out of the tiers, behind. */
  #usable(handles: readonly StoredHandle[], shared: TieredStore): readonly StoredHandle[] {
    return handles.filter((handle) => {
      if (this.#purges.judge(handle.metadata) === 'purged') {
        void shared.remove(handle)
        return false
      }
      return !this.#purges.isBeyond(handle.metadata)
    })
  }

  /** As it is by the purges in force. */
  #current({ metadata }: StoredHandle): StoredMetadata {
    const isStale = this.#purges.judge(metadata) === 'stale'
    return isStale ? this.#purges.staleMetadata(metadata) : metadata
  }

  /** Null when it is not sound: the tier has counted and dropped it. */
  async #load(handle: StoredHandle): Promise<StoredResponse | null> {
    const read = handle.read(0, handle.bodyLength)
    const pieces: Buffer[] = []
    try {
      for (let piece = await read.next(); piece !== null; piece = await read.next()) {
        pieces.push(piece)
      }
    } catch {
      return null
    }
    const body = ownBytes(pieces, handle.bodyLength)
    return body === null ? null : new StoredResponse(this.#current(handle), body)
  }

  /** Into memory, unless memory has something newer by now. */
  #hold(stored: StoredResponse): void {
    if (this.#removing.has(stored.key)) return
    for (let held = this.#memory.lookUp(stored.key); held !== null; held = held.next) {
      if (isSameSlot(held, stored) && held.responseAt >= stored.responseAt) return
    }
    this.#memory.put(stored)
  }

  #promote(stored: StoredResponse): void {
    if (stored.part === undefined || isSliced(stored)) this.#shared?.promote(stored, stored.body)
  }

  /** Behind the answer: the copy on disk is validated again after a restart, at worst. */
  freshen(stored: Reusable, metadata: StoredMetadata): void {
    const shared = this.#shared
    if (shared === null) return
    const own = { metadata: stored, bodyLength: bodyLengthOf(stored) }
    void this.#copyOf(stored).then((copy) => {
      // Another machine may have put there what it got at another time.
      if (copy === undefined || !haveSameOctets(copy, own)) return undefined
      return shared.freshen(copy, metadata)
    })
  }

  /** One variant only. */
  remove(stored: Reusable): void {
    const shared = this.#shared
    if (shared === null) return
    void this.#copyOf(stored).then((copy) => (copy === undefined ? undefined : shared.remove(copy)))
  }

  /** What the tiers have of the same variant. */
  async #copyOf(stored: Reusable): Promise<StoredHandle | undefined> {
    if (stored instanceof LargeStored) return stored.handle
    const handles = (await this.#shared?.lookUp(stored.key)) ?? []
    return handles.find(({ metadata }) => isSameSlot(metadata, stored))
  }

  removeKey(key: string): void {
    const shared = this.#shared
    if (shared === null) return
    this.#removing.set(key, (this.#removing.get(key) ?? 0) + 1)
    void shared.removeKey(key).finally(() => {
      const left = (this.#removing.get(key) ?? 1) - 1
      if (left === 0) this.#removing.delete(key)
      else this.#removing.set(key, left)
    })
  }
}

/** Of what is stored as a whole, and of the heads in front of slices. */
function newestOfEach(handles: readonly StoredHandle[], tx: Transaction): StoredHandle[] {
  const own = handles.filter(({ metadata }) => isFor(metadata, tx))
  const whole = own.find(({ metadata }) => metadata.part === undefined)
  const sliced = own.find(({ metadata }) => isSliced(metadata))
  return [whole, sliced].filter((handle) => handle !== undefined)
}

/**
 * The pieces as one buffer that shares its memory with nothing: a slice of a larger one, or of Node's pool, would keep all
 * of that alive. Null when they are of another length.
 */
function ownBytes(pieces: readonly Buffer[], length: number): Buffer | null {
  if (pieces.length === 1 && pieces[0].buffer.byteLength === length) return pieces[0]
  if (pieces.reduce((sum, piece) => sum + piece.length, 0) !== length) return null
  const body = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const piece of pieces) at += piece.copy(body, at)
  return body
}

function isFor(metadata: StoredMetadata, tx: Transaction): boolean {
  return metadata.keyExtra === tx.keyExtra && isSelectedBy(metadata, tx.request.fields)
}

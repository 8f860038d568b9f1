import { sameVariant } from '../caching/vary.ts'
import { combineStored } from './combine-stored.ts'
import type { EvictionOrder } from './eviction/eviction-order.ts'
import { fingerprintOf } from './eviction/ghosts.ts'
import { S3Fifo } from './eviction/s3-fifo.ts'
import type { Insertion, StorageTier } from './storage-tier.ts'
import {
  contentLengthOf,
  isSameSlot,
  isSliced,
  type StoredMetadata,
  StoredResponse,
} from './stored-response.ts'

/** Variants and parts of one key beyond this many push the oldest out. */
const MAX_PER_KEY = 256

/**
 * The memory tier of one worker: a Map from key to a chain of stored responses, evicted by S3-FIFO, bounded by the bytes
 * of all that it holds. The bound also covers bodies under way, so it holds at every moment.
 */
export class MemoryTier implements StorageTier {
  readonly name = 'memory'
  readonly maxBytes: number
  readonly maxObjectBytes: number
  evictions = 0
  #bytes = 0
  /** Of `#bytes`, those of stored responses: what could be evicted. */
  #heldBytes = 0
  #count = 0
  readonly #byKey = new Map<string, StoredResponse>()
  readonly #order: EvictionOrder
  readonly #bySlot: (StoredResponse | null)[] = []

  /** `maxObjectBytes` bounds one body. */
  constructor(maxBytes: number, maxObjectBytes: number, order: EvictionOrder = new S3Fifo()) {
    this.#order = order
    this.maxBytes = maxBytes
    this.maxObjectBytes = Math.min(maxObjectBytes, maxBytes)
  }

  /** Bytes held, bodies under way included. */
  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#count
  }

  lookUp(key: string): StoredResponse | null {
    return this.#byKey.get(key) ?? null
  }

  /** The stored responses of every key, first of its chain. What changes meanwhile may be among them or not. */
  chains(): IterableIterator<StoredResponse> {
    return this.#byKey.values()
  }

  /** Told when a stored response is used for the second time. */
  onHot: ((stored: StoredResponse) => void) | null = null

  /** Marks a use; the caller knows which variant it took. */
  touch(stored: StoredResponse): void {
    if (stored.slot !== -1) this.#order.visit(stored.slot)
    if (++stored.uses === 2) this.onHot?.(stored)
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    if (expectedBytes !== undefined && expectedBytes > this.maxObjectBytes) return null
    return new MemoryInsertion(this, metadata, expectedBytes)
  }

  freshen(stored: StoredResponse, metadata: StoredMetadata): StoredResponse {
    const fresh = new StoredResponse(metadata, stored.body)
    if (stored.slot === -1) this.put(fresh)
    else {
      this.remove(stored)
      this.#hold(fresh, true)
    }
    return fresh
  }

  remove(stored: StoredResponse): void {
    if (stored.slot === -1) return
    const first = this.#byKey.get(stored.key)
    if (first === stored) {
      if (stored.next === null) this.#byKey.delete(stored.key)
      else this.#byKey.set(stored.key, stored.next)
    } else {
      let before = first
      while (before !== undefined && before.next !== stored) before = before.next ?? undefined
      if (before !== undefined) before.next = stored.next
    }
    this.#order.remove(stored.slot)
    this.#bySlot[stored.slot] = null
    stored.slot = -1
    stored.next = null
    this.#bytes -= stored.byteLength
    this.#heldBytes -= stored.byteLength
    this.#count--
  }

  removeKey(key: string): boolean {
    let stored = this.#byKey.get(key)
    if (stored === undefined) return false
    while (stored !== undefined) {
      this.remove(stored)
      stored = this.#byKey.get(key)
    }
    return true
  }

  close(): void {
    this.#byKey.clear()
    this.#bySlot.length = 0
    this.#bytes = 0
    this.#heldBytes = 0
    this.#count = 0
  }

  /** Makes a response visible; a part is combined with the one that is held already if it can be. */
  put(added: StoredResponse): void {
    const held = added.part === undefined ? null : this.#partLike(added)
    const combines = held !== null && !isSliced(added)
    const stored = combines ? combineStored(held, added, this.maxObjectBytes) : added
    if (held !== null) this.remove(held)
    const replaces = stored.part === undefined && this.#removeLike(stored)
    this.#hold(stored, held !== null || replaces)
  }

  /** `proven`: it takes the place of something that was asked for again. */
  #hold(stored: StoredResponse, proven: boolean): void {
    if (!this.reserve(stored.byteLength)) return
    stored.next = this.#byKey.get(stored.key) ?? null
    this.#byKey.set(stored.key, stored)
    stored.slot = this.#order.add(fingerprintOf(stored.key), stored.byteLength, proven)
    this.#bySlot[stored.slot] = stored
    this.#heldBytes += stored.byteLength
    this.#count++
    this.#boundVariants(stored)
  }

  /** Evicts until so many bytes fit and counts them; false when bodies under way take up the room. */
  reserve(bytes: number): boolean {
    // Nothing is evicted for what would not fit even then.
    if (this.#bytes - this.#heldBytes + bytes > this.maxBytes) return false
    while (this.#bytes + bytes > this.maxBytes) {
      const stored = this.#bySlot[this.#order.victim()]
      if (stored === null) return false
      this.remove(stored)
      this.evictions++
    }
    this.#bytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#bytes -= bytes
  }

  #partLike(part: StoredResponse): StoredResponse | null {
    for (let other = this.lookUp(part.key); other !== null; other = other.next) {
      if (isSameSlot(other, part)) return other
    }
    return null
  }

  /** A complete response takes the place of whatever was held for its variant. True when there was something. */
  #removeLike(whole: StoredResponse): boolean {
    const countBefore = this.#count
    let other = this.lookUp(whole.key)
    while (other !== null) {
      const { next } = other
      if (isAlike(other, whole)) this.remove(other)
      other = next
    }
    return this.#count < countBefore
  }

  #boundVariants(first: StoredResponse): void {
    let count = 1
    let last = first
    while (last.next !== null) {
      last = last.next
      count++
    }
    if (count > MAX_PER_KEY) this.remove(last)
  }
}

function isAlike(a: StoredResponse, b: StoredResponse): boolean {
  return a.keyExtra === b.keyExtra && sameVariant(a.variant, b.variant)
}

class MemoryInsertion implements Insertion {
  readonly #tier: MemoryTier
  readonly #metadata: StoredMetadata
  readonly #expectedBytes: number | undefined
  #chunks: Buffer[] = []
  #bytes = 0
  #open = true

  constructor(tier: MemoryTier, metadata: StoredMetadata, expectedBytes: number | undefined) {
    this.#tier = tier
    this.#metadata = metadata
    this.#expectedBytes = expectedBytes
  }

  write(chunk: Buffer): boolean {
    if (!this.#open) return false
    const fits = this.#bytes + chunk.length <= this.#tier.maxObjectBytes
    if (!fits || !this.#tier.reserve(chunk.length)) {
      this.abandon()
      return false
    }
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    return true
  }

  commit(): void {
    if (!this.#open) return
    if (this.#bytes !== (this.#expectedBytes ?? this.#bytes)) return this.abandon()
    // Exactly its own bytes: a slice of a socket's read buffer would keep all of that buffer alive.
    const body = Buffer.allocUnsafeSlow(this.#bytes)
    let at = 0
    for (const chunk of this.#chunks) at += chunk.copy(body, at)
    this.abandon()
    const { fields, status } = this.#metadata
    if (status !== 204) fields.set('content-length', contentLengthOf(this.#metadata, body.length))
    this.#tier.put(new StoredResponse(this.#metadata, body))
  }

  abandon(): void {
    if (!this.#open) return
    this.#open = false
    this.#tier.release(this.#bytes)
    this.#chunks = []
  }
}

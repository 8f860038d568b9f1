import { sameVariant } from '../caching/vary.ts'
import { combineStored } from './combine-stored.ts'
import { Sieve } from './sieve.ts'
import type { Insertion, StorageTier } from './storage-tier.ts'
import { type StoredMetadata, StoredResponse } from './stored-response.ts'

/** Variants and parts of one key beyond this many push the oldest out. */
const MAX_PER_KEY = 256

/**
 * The memory tier of one worker: a Map from key to a chain of stored responses, evicted by SIEVE, bounded by the bytes
 * of all that it holds. The bound also covers bodies under way, so it holds at every moment.
 */
export class MemoryTier implements StorageTier {
  readonly name = 'memory'
  readonly maxBytes: number
  readonly maxObjectBytes: number
  evictions = 0
  #bytes = 0
  #count = 0
  readonly #byKey = new Map<string, StoredResponse>()
  readonly #order = new Sieve()
  readonly #bySlot: (StoredResponse | null)[] = []

  /** `maxObjectBytes` bounds one body. */
  constructor(maxBytes: number, maxObjectBytes: number) {
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

  /** Marks a use; the caller knows which variant it took. */
  touch(stored: StoredResponse): void {
    if (stored.slot !== -1) this.#order.visit(stored.slot)
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    if (expectedBytes !== undefined && expectedBytes > this.maxObjectBytes) return null
    return new MemoryInsertion(this, metadata, expectedBytes)
  }

  freshen(stored: StoredResponse, metadata: StoredMetadata): StoredResponse {
    const fresh = new StoredResponse(metadata, stored.body)
    if (stored.slot === -1) this.put(fresh)
    else this.put(fresh, stored)
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
    this.#count = 0
  }

  /** Makes a response visible in place of `replaced`, or of its counterpart, with which a part is combined if it can be. */
  put(added: StoredResponse, replaced: StoredResponse | null = this.#counterpart(added)): void {
    const stored =
      replaced === null || replaced.body === added.body ? added : combineStored(replaced, added)
    if (replaced !== null) this.remove(replaced)
    if (stored.byteLength > this.maxBytes) return
    this.reserve(stored.byteLength)
    stored.next = this.#byKey.get(stored.key) ?? null
    this.#byKey.set(stored.key, stored)
    stored.slot = this.#order.add()
    this.#bySlot[stored.slot] = stored
    this.#count++
    this.#boundVariants(stored)
  }

  /** Counts bytes and evicts until they fit. */
  reserve(bytes: number): void {
    this.#bytes += bytes
    while (this.#bytes > this.maxBytes) {
      const victim = this.#order.victim()
      if (victim === -1) return
      const stored = this.#bySlot[victim]
      if (stored === null) return
      this.remove(stored)
      this.evictions++
    }
  }

  release(bytes: number): void {
    this.#bytes -= bytes
  }

  #counterpart(stored: StoredResponse): StoredResponse | null {
    for (let other = this.lookUp(stored.key); other !== null; other = other.next) {
      if (other.keyExtra !== stored.keyExtra) continue
      if (!sameVariant(other.variant, stored.variant)) continue
      // A complete response replaces a part; a part replaces only another part, never what is whole.
      if (stored.part === undefined || other.part !== undefined) return other
    }
    return null
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
    if (this.#bytes + chunk.length > this.#tier.maxObjectBytes) {
      this.abandon()
      return false
    }
    this.#tier.reserve(chunk.length)
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
    if (status !== 204) fields.set('content-length', String(body.length))
    this.#tier.put(new StoredResponse(this.#metadata, body))
  }

  abandon(): void {
    if (!this.#open) return
    this.#open = false
    this.#tier.release(this.#bytes)
    this.#chunks = []
  }
}

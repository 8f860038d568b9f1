import { randomUUID } from 'node:crypto'
import { hashOf } from '../content-hash.ts'
import { BLOCK_BYTES, blockChecksums, slotOf } from '../record.ts'
import type { SharedTier, StoredHandle } from '../shared-tier.ts'
import type { Insertion } from '../storage-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import { OwedRemovals } from './owed-removals.ts'
import { ofItsType, RedisCalls, type RedisCounts } from './redis-calls.ts'
import type { RedisClient } from './redis-client.ts'
import { RedisHandle } from './redis-handle.ts'
import { RedisInsertion } from './redis-insertion.ts'
import { RedisNames, tagOf } from './redis-names.ts'
import {
  beginningOf,
  compareValues,
  decodeValue,
  encodeValue,
  headOf,
  isSound,
  MAX_INLINE_BYTES,
  stampOf,
} from './redis-value.ts'
import { GIVE_LEASE, REMOVE_HEAD, STORE_HEAD, TAKE_LEASE } from './scripts.ts'
import { WriteQueue } from './write-queue.ts'

export interface RedisTierOptions {
  /** For what requests wait for; it carries nothing large towards Redis. */
  readonly reads: RedisClient
  /** For what happens behind their backs: a body on its way never stands in front of a look-up. */
  readonly writes: RedisClient
  /** In front of every key. */
  readonly prefix: string
  readonly maxObjectBytes: number
  /** No request waits longer for a look-up, the reading of its body included. */
  readonly deadlineMs: number
  /** Epoch ms. */
  now(): number
}

/** Nobody waits for a write. */
const WRITE_DEADLINE_MS = 1_000
const READ_LIMITS = { maxCalls: 512, maxBytes: Number.POSITIVE_INFINITY }
/** Beyond it hot responses wait for their next chance. */
const WRITE_LIMITS = { maxCalls: 64, maxBytes: 8 * 1024 * 1024 }
/** Of one key; the one that is too many starts the key anew. */
const MAX_VARIANTS = 64
/** A response that can be validated is of some use this long after it went stale. */
const VALIDATABLE_MS = 3_600_000
const MIN_USEFUL_MS = 1_000
/** Of one question whether all are there. */
const MAX_HELD_KEYS = 64
const NOTHING = Buffer.alloc(0)
/** In place of a holder: what was fetched cannot be shared. */
const ALONE = 'alone'
const ALONE_MS = 5_000

/**
 * The hot tier of a PoP: per key one hash of heads (a field per variant), and a string per body that is too long to
 * travel with its head. All names of one key carry the same hash tag, so a cluster keeps them together.
 */
export class RedisTier implements SharedTier {
  readonly name = 'redis'
  readonly takesEverything = false
  readonly counts: RedisCounts = { timeouts: 0, errors: 0, skipped: 0, corrupt: 0 }
  readonly #options: RedisTierOptions
  readonly #reads: RedisCalls
  readonly #writes: RedisCalls
  readonly #names: RedisNames
  #closed = false
  readonly #leaseHolder = randomUUID()
  readonly #queue = new WriteQueue(WRITE_LIMITS.maxBytes)
  readonly #owed = new OwedRemovals((key) => this.#removeHeads(key))

  constructor(options: RedisTierOptions) {
    this.#options = options
    this.#names = new RedisNames(options.prefix)
    this.#reads = new RedisCalls(options.reads, this.counts, READ_LIMITS)
    this.#writes = new RedisCalls(options.writes, this.counts, WRITE_LIMITS)
  }

  /** False while look-ups are not made. */
  get up(): boolean {
    return this.#reads.up
  }

  /** False while nothing is stored. */
  get writable(): boolean {
    return this.#writes.up
  }

  /** Calls whose answer is owed. */
  get underWay(): number {
    return this.#reads.underWay + this.#writes.underWay
  }

  /** Of bodies on their way to Redis. */
  get pendingBytes(): number {
    return this.#queue.bytes
  }

  async lookUp(key: string): Promise<readonly StoredHandle[]> {
    if (this.#closed || this.#owed.has(key)) return []
    const { deadlineMs } = this.#options
    const deadlineAt = performance.now() + deadlineMs
    const keyHash = hashOf(key)
    const name = this.#names.heads(keyHash)
    const found = await this.#reads.run(tagOf(keyHash), deadlineMs, 0, (redis) =>
      ofItsType(redis.hgetallBuffer(name), 'not a hash'),
    )
    if (found === undefined || this.#owed.has(key)) return []
    if (found === 'not a hash') {
      this.counts.corrupt++
      void this.removeKey(key)
      return []
    }
    const handles: RedisHandle[] = []
    for (const [slot, bytes] of Object.entries(found)) {
      const value = decodeValue(bytes, key, keyHash)
      if (value === null) this.#drop(key, slot, beginningOf(bytes))
      // What this worker would not have stored it does not want either.
      else if (value.bodyLength <= this.#options.maxObjectBytes) {
        handles.push(new RedisHandle(keyHash, value, deadlineAt, this.#fetchBody))
      }
    }
    return handles.sort((a, b) => compareValues(a.value, b.value))
  }

  /** Within the deadline of one look-up: so many calls at once, or none. */
  async holdsAll(keys: readonly string[]): Promise<boolean> {
    if (this.#closed || keys.length > MAX_HELD_KEYS || keys.some((key) => this.#owed.has(key))) {
      return false
    }
    const { deadlineMs } = this.#options
    const held = await Promise.all(
      keys.map((key) => {
        const keyHash = hashOf(key)
        const name = this.#names.heads(keyHash)
        return this.#reads.run(tagOf(keyHash), deadlineMs, 0, (redis) => redis.hlen(name))
      }),
    )
    return held.every((variants) => (variants ?? 0) > 0)
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    const { maxObjectBytes } = this.#options
    if ((expectedBytes ?? 0) > maxObjectBytes) return null
    if (this.#closed || !this.#writes.connected || !this.#queue.hasRoomFor(expectedBytes ?? 0))
      return null
    if (this.#usefulMs(metadata) < MIN_USEFUL_MS) return null
    const own = { ...metadata, fields: metadata.fields.clone() }
    return new RedisInsertion(own, expectedBytes, maxObjectBytes, (stored, body) => {
      // Asked again: others have come while this one was gathered.
      if (!this.#queue.hasRoomFor(body.length)) this.counts.skipped++
      else void this.#queue.run(stored.key, body.length, () => this.#store(stored, body))
    })
  }

  /** How long the response may be of use to anyone, ms. */
  #usefulMs({ policy, freshUntilAt, fields }: StoredMetadata): number {
    const stale = Math.max(policy.staleWhileRevalidateMs, policy.staleIfErrorMs ?? 0)
    const validatable = fields.has('etag') || fields.has('last-modified') ? VALIDATABLE_MS : 0
    return Math.ceil(freshUntilAt - this.#options.now() + Math.max(stale, validatable))
  }

  /** Nothing newer than `newestAt` is replaced. */
  async #store(
    metadata: StoredMetadata,
    body: Buffer,
    newestAt = metadata.responseAt,
  ): Promise<void> {
    const keyHash = hashOf(metadata.key)
    const expiryMs = this.#usefulMs(metadata)
    if (this.#owed.has(metadata.key) || expiryMs < MIN_USEFUL_MS) return
    // The body before the head that refers to it: nobody finds a head without its body.
    if (body.length > MAX_INLINE_BYTES) {
      const name = this.#names.body(keyHash, metadata, blockChecksums(body), body.length)
      const stored = await this.#writes.run(
        tagOf(keyHash),
        WRITE_DEADLINE_MS,
        body.length,
        (redis) => redis.set(name, body, 'PX', expiryMs),
      )
      if (stored === undefined) return
    }
    const value = encodeValue(keyHash, metadata, body)
    await this.#storeHead(metadata, value, newestAt, [this.#names.heads(keyHash)])
  }

  #storeHead(
    metadata: StoredMetadata,
    value: Buffer,
    newestAt: number,
    names: readonly string[],
  ): Promise<unknown> {
    const slot = String(slotOf(metadata))
    const expiryMs = String(this.#usefulMs(metadata))
    const words = [slot, value, expiryMs, String(MAX_VARIANTS), stampOf(newestAt)]
    const tag = tagOf(hashOf(metadata.key))
    return this.#writes.run(tag, WRITE_DEADLINE_MS, value.length, (redis) =>
      redis.eval(STORE_HEAD, names.length, ...names, ...words),
    )
  }

  freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void> {
    if (!(stored instanceof RedisHandle)) return Promise.resolve()
    if (this.#usefulMs(metadata) < MIN_USEFUL_MS) return this.remove(stored)
    return this.#queue.run(metadata.key, 0, () => this.#freshen(stored, metadata))
  }

  async #freshen(stored: RedisHandle, metadata: StoredMetadata): Promise<void> {
    if (this.#owed.has(metadata.key)) return
    const { keyHash, value } = stored
    const newestAt = Math.max(stored.metadata.responseAt, metadata.responseAt)
    const sameSlot = slotOf(metadata) === slotOf(stored.metadata)
    if (value.inline !== null || !sameSlot) {
      const body = await stored.whole()
      if (body !== null) await this.#store(metadata, body, newestAt)
      return
    }
    // A long body stays where it is, and lives as long as its new head.
    const head = headOf(keyHash, metadata, value.checksums, value.bodyLength)
    await this.#storeHead(metadata, head, newestAt, [
      this.#names.heads(keyHash),
      this.#names.body(keyHash, metadata, value.checksums, value.bodyLength),
    ])
  }

  remove(stored: StoredHandle): Promise<void> {
    if (!(stored instanceof RedisHandle)) return Promise.resolve()
    const { metadata, value } = stored
    return this.#removeHead(metadata.key, String(slotOf(metadata)), value.beginning)
  }

  #removeHead(key: string, slot: string, beginning: Buffer): Promise<void> {
    const keyHash = hashOf(key)
    const name = this.#names.heads(keyHash)
    return this.#queue.run(key, 0, async () => {
      const removed = await this.#writes.run(tagOf(keyHash), WRITE_DEADLINE_MS, 0, (redis) =>
        redis.eval(REMOVE_HEAD, 1, name, slot, beginning),
      )
      if (removed === undefined) this.#owed.add(key)
    })
  }

  removeKey(key: string): Promise<void> {
    return this.#queue.run(key, 0, async () => {
      if (await this.#removeHeads(key)) this.#owed.settle(key)
      else this.#owed.add(key)
    })
  }

  async #removeHeads(key: string): Promise<boolean> {
    const keyHash = hashOf(key)
    const name = this.#names.heads(keyHash)
    return (
      (await this.#writes.run(tagOf(keyHash), WRITE_DEADLINE_MS, 0, (redis) => redis.del(name))) !==
      undefined
    )
  }

  /** What is not what was stored: counted, and out of everyone's way. */
  #drop(key: string, slot: string, beginning: Buffer): void {
    this.counts.corrupt++
    void this.#removeHead(key, slot, beginning)
  }

  readonly #fetchBody = async (
    handle: RedisHandle,
    first: number,
    end: number,
  ): Promise<Buffer | null> => {
    const { keyHash, metadata, value } = handle
    const name = this.#names.body(keyHash, metadata, value.checksums, value.bodyLength)
    // Head and body share one deadline; whoever comes later has one of his own.
    const leftMs = handle.deadlineAt - performance.now()
    const deadlineMs = leftMs > 0 ? leftMs : this.#options.deadlineMs
    const bytes = await this.#reads.run(tagOf(keyHash), deadlineMs, 0, (redis) =>
      ofItsType(redis.getrangeBuffer(name, first, end - 1), NOTHING),
    )
    if (bytes === undefined) return null
    if (bytes.length === end - first && isSound(bytes, value.checksums, first / BLOCK_BYTES)) {
      return bytes
    }
    this.#drop(metadata.key, String(slotOf(metadata)), value.beginning)
    return null
  }

  /**
   * Who of the PoP is to fetch the key: this one ('mine'), one that has begun ('theirs'), or everyone by itself ('alone'),
   * which is also the answer while Redis has none. A lease ends after `leaseMs` by itself.
   */
  async takeLease(key: string, leaseMs: number): Promise<'mine' | 'theirs' | 'alone'> {
    if (this.#closed) return 'alone'
    const keyHash = hashOf(key)
    const words = [this.#leaseHolder, String(leaseMs)]
    const holder = await this.#reads.run(tagOf(keyHash), this.#options.deadlineMs, 0, (redis) =>
      redis.eval(TAKE_LEASE, 1, this.#names.lease(keyHash), ...words),
    )
    if (holder === this.#leaseHolder) return 'mine'
    return typeof holder === 'string' && holder !== ALONE ? 'theirs' : 'alone'
  }

  /** False when nobody holds it any more, or nobody knows. */
  async isLeased(key: string): Promise<boolean> {
    if (this.#closed) return false
    const keyHash = hashOf(key)
    const holder = await this.#reads.run(tagOf(keyHash), this.#options.deadlineMs, 0, (redis) =>
      redis.get(this.#names.lease(keyHash)),
    )
    return typeof holder === 'string' && holder !== ALONE
  }

  /** Behind what is being stored of the key. `alone`: for a while nobody need wait for anybody. */
  giveLease(key: string, alone: boolean): Promise<void> {
    return this.#queue.run(key, 0, async () => {
      const keyHash = hashOf(key)
      const words = [this.#leaseHolder, alone ? ALONE : '', String(ALONE_MS)]
      await this.#writes.run(tagOf(keyHash), WRITE_DEADLINE_MS, 0, (redis) =>
        redis.eval(GIVE_LEASE, 1, this.#names.lease(keyHash), ...words),
      )
    })
  }

  /** Resolves when what has been committed so far has been written, or has failed. */
  settled(): Promise<void> {
    return this.#queue.settled()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.settled()
    this.#owed.close()
    this.#options.reads.disconnect()
    this.#options.writes.disconnect()
  }
}

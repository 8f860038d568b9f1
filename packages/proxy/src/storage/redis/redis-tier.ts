import { crc32 } from 'node:zlib'
import { hashOf } from '../content-hash.ts'
import {
  BLOCK_BYTES,
  blockChecksums,
  decodeHead,
  encodeHead,
  headLength,
  slotOf,
} from '../record.ts'
import type { BodyRead, SharedTier, StoredHandle } from '../shared-tier.ts'
import type { Insertion } from '../storage-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import type { RedisClient } from './redis-client.ts'

export interface RedisTierOptions {
  readonly client: RedisClient
  /** In front of every key. */
  readonly prefix: string
  readonly maxObjectBytes: number
  /** No call is waited for longer. */
  readonly deadlineMs: number
  now(): number
}

/** What went wrong, by kind; each was a miss. */
export interface RedisCounts {
  timeouts: number
  errors: number
  /** Calls not made because the circuit was open. */
  skipped: number
  /** Values that were not what was stored. */
  corrupt: number
}

/** A body up to this long travels with its head: one round trip. */
const MAX_INLINE_BYTES = 16 * 1024
/** Writes under way; beyond it hot responses wait for their next chance. */
const MAX_WRITES = 64
/** A response that can be validated is of some use this long after it went stale. */
const VALIDATABLE_MS = 3_600_000

/**
 * The hot tier of a PoP: per key one hash of heads (a field per variant), and a string per body that is too long to
 * travel with its head. All names of one key carry the same hash tag, so a cluster keeps them together.
 */
export class RedisTier implements SharedTier {
  readonly name = 'redis'
  readonly takesEverything = false
  readonly counts: RedisCounts = { timeouts: 0, errors: 0, skipped: 0, corrupt: 0 }
  readonly #options: RedisTierOptions
  readonly #breaker = new CircuitBreaker()
  #writes = 0

  constructor(options: RedisTierOptions) {
    this.#options = options
  }

  /** False while calls are not made because the last ones failed. */
  get up(): boolean {
    return !this.#breaker.open
  }

  async lookUp(key: string): Promise<readonly StoredHandle[]> {
    const keyHash = hashOf(key)
    const { client } = this.#options
    const found = await this.#call(() => client.hgetallBuffer(this.#headsName(keyHash)))
    if (found === null) return []
    const handles: StoredHandle[] = []
    for (const value of Object.values(found)) {
      const handle = this.#decode(key, keyHash, value)
      if (handle === null) this.counts.corrupt++
      else handles.push(handle)
    }
    return handles.sort((a, b) => b.metadata.responseAt - a.metadata.responseAt)
  }

  #decode(key: string, keyHash: Buffer, value: unknown): RedisHandle | null {
    if (!Buffer.isBuffer(value)) return null
    const headBytes = headLength(value)
    if (headBytes === undefined || headBytes > value.length) return null
    const head = decodeHead(value.subarray(0, headBytes), keyHash)
    if (head === null || head.metadata.key !== key) return null
    const rest = value.subarray(headBytes)
    // Four bytes of length, then the body when it is short.
    if (rest.length < 4) return null
    const bodyLength = rest.readUInt32BE(0)
    const inline = rest.length - 4 === bodyLength && bodyLength <= MAX_INLINE_BYTES
    if (!inline && rest.length !== 4) return null
    const body = inline ? rest.subarray(4) : null
    return new RedisHandle(this, keyHash, head.metadata, head.blockChecksums, bodyLength, body)
  }

  insert(metadata: StoredMetadata, expectedBytes: number | undefined): Insertion | null {
    if ((expectedBytes ?? 0) > this.#options.maxObjectBytes) return null
    if (this.#breaker.open || this.#writes >= MAX_WRITES) return null
    if (this.#usefulMs(metadata) < 1000) return null
    const own = { ...metadata, fields: metadata.fields.clone() }
    return new RedisInsertion(this, own, this.#options.maxObjectBytes)
  }

  /** How long the response may be of use to anyone, ms. */
  #usefulMs({ policy, freshUntilAt, fields }: StoredMetadata): number {
    const stale = Math.max(policy.staleWhileRevalidateMs, policy.staleIfErrorMs ?? 0)
    const validatable = fields.has('etag') || fields.has('last-modified') ? VALIDATABLE_MS : 0
    return Math.ceil(freshUntilAt - this.#options.now() + Math.max(stale, validatable))
  }

  /** @internal */
  async store(metadata: StoredMetadata, body: Buffer): Promise<void> {
    const keyHash = hashOf(metadata.key)
    const slot = String(slotOf(metadata))
    const heads = this.#headsName(keyHash)
    const expiryMs = this.#usefulMs(metadata)
    const head = encodeHead(keyHash, metadata, blockChecksums(body), 0)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(body.length)
    const inline = body.length <= MAX_INLINE_BYTES
    const value = Buffer.concat(inline ? [head, length, body] : [head, length])
    const { client } = this.#options
    this.#writes++
    try {
      // The body before the head that refers to it: nobody can find a head without its body.
      if (!inline) {
        const name = this.#bodyName(keyHash, slot, body)
        if ((await this.#call(() => client.set(name, body, 'PX', expiryMs))) === null) return
      }
      await this.#call(async () => {
        await client.hset(heads, slot, value)
        // The longest-lived variant decides; a head without its body is a miss.
        await client.pexpire(heads, expiryMs, 'NX')
        return client.pexpire(heads, expiryMs, 'GT')
      })
    } finally {
      this.#writes--
    }
  }

  async freshen(stored: StoredHandle, metadata: StoredMetadata): Promise<void> {
    if (!(stored instanceof RedisHandle)) return
    const body = await stored.whole()
    if (body !== null) await this.store(metadata, body)
  }

  async remove(stored: StoredHandle): Promise<void> {
    const { metadata } = stored
    const name = this.#headsName(hashOf(metadata.key))
    await this.#call(() => this.#options.client.hdel(name, String(slotOf(metadata))))
  }

  async removeKey(key: string): Promise<void> {
    await this.#call(() => this.#options.client.del(this.#headsName(hashOf(key))))
  }

  /** @internal */
  async readBody(handle: RedisHandle, first: number, end: number): Promise<Buffer | null> {
    const { keyHash, metadata, checksums, bodyLength } = handle
    const slot = String(slotOf(metadata))
    const start = Math.floor(first / BLOCK_BYTES) * BLOCK_BYTES
    const stop = Math.min(Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES, bodyLength)
    const name = this.#namedBody(keyHash, slot, checksums, bodyLength)
    const { client } = this.#options
    const bytes = await this.#call(() => client.getrangeBuffer(name, start, stop - 1))
    if (bytes === null) return null
    if (bytes.length !== stop - start || !this.#sound(bytes, start, checksums)) {
      this.counts.corrupt++
      return null
    }
    return bytes.subarray(first - start, end - start)
  }

  #sound(bytes: Buffer, start: number, checksums: readonly number[]): boolean {
    for (let at = 0, block = start / BLOCK_BYTES; at < bytes.length; at += BLOCK_BYTES, block++) {
      if (crc32(bytes.subarray(at, at + BLOCK_BYTES)) !== checksums[block]) return false
    }
    return true
  }

  #headsName(keyHash: Buffer): string {
    return `${this.#options.prefix}r:{${keyHash.toString('base64url')}}`
  }

  #bodyName(keyHash: Buffer, slot: string, body: Buffer): string {
    return this.#namedBody(keyHash, slot, blockChecksums(body), body.length)
  }

  /** A body's name carries its sums: a head never meets the bytes of another version. */
  #namedBody(keyHash: Buffer, slot: string, sums: readonly number[], bytes: number): string {
    const version = crc32(Buffer.from(sums.join(','), 'latin1'), bytes).toString(36)
    return `${this.#options.prefix}b:{${keyHash.toString('base64url')}}:${slot}:${version}`
  }

  /** One command within its deadline; null when it failed, for whatever reason. */
  async #call<T>(command: () => Promise<T>): Promise<T | null> {
    if (!this.#breaker.allows()) {
      this.counts.skipped++
      return null
    }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<typeof LATE>((resolve) => {
      timer = setTimeout(() => resolve(LATE), this.#options.deadlineMs)
    })
    try {
      const running = command()
      // An answer that comes after the deadline may also be a failure.
      running.catch(() => undefined)
      const result = await Promise.race([running, late])
      if (result === LATE) {
        this.counts.timeouts++
        this.#breaker.failed()
        return null
      }
      this.#breaker.succeeded()
      return result
    } catch {
      this.counts.errors++
      this.#breaker.failed()
      return null
    } finally {
      clearTimeout(timer)
    }
  }

  async close(): Promise<void> {
    this.#options.client.disconnect()
  }
}

const LATE = Symbol('late')

class RedisHandle implements StoredHandle {
  readonly keyHash: Buffer
  readonly metadata: StoredMetadata
  readonly checksums: readonly number[]
  readonly bodyLength: number
  readonly #tier: RedisTier
  readonly #inline: Buffer | null

  constructor(
    tier: RedisTier,
    keyHash: Buffer,
    metadata: StoredMetadata,
    checksums: readonly number[],
    bodyLength: number,
    inline: Buffer | null,
  ) {
    this.#tier = tier
    this.keyHash = keyHash
    this.metadata = metadata
    this.checksums = checksums
    this.bodyLength = bodyLength
    this.#inline = inline
  }

  /** All of the body; null when it is not there any more, or not sound. */
  async whole(): Promise<Buffer | null> {
    const inline = this.#inline
    if (inline === null) return this.#tier.readBody(this, 0, this.bodyLength)
    return blockChecksums(inline).every((sum, i) => sum === this.checksums[i]) ? inline : null
  }

  read(first: number, end: number): BodyRead {
    let rest = true
    return {
      next: async () => {
        if (!rest) return null
        rest = false
        const bytes =
          this.#inline === null
            ? await this.#tier.readBody(this, first, end)
            : ((await this.whole())?.subarray(first, end) ?? null)
        if (bytes === null) throw new Error('the body in Redis is not what was stored')
        return bytes.length === 0 ? null : bytes
      },
      close: () => {
        rest = false
      },
    }
  }
}

class RedisInsertion implements Insertion {
  readonly #tier: RedisTier
  readonly #metadata: StoredMetadata
  readonly #maxBytes: number
  #chunks: Buffer[] = []
  #bytes = 0
  #open = true

  constructor(tier: RedisTier, metadata: StoredMetadata, maxBytes: number) {
    this.#tier = tier
    this.#metadata = metadata
    this.#maxBytes = maxBytes
  }

  write(chunk: Buffer): boolean {
    if (!this.#open) return false
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes <= this.#maxBytes) return true
    this.abandon()
    return false
  }

  commit(): void {
    if (!this.#open) return
    this.#open = false
    if (this.#metadata.status !== 204) {
      this.#metadata.fields.set('content-length', String(this.#bytes))
    }
    void this.#tier.store(this.#metadata, Buffer.concat(this.#chunks, this.#bytes))
    this.#chunks = []
  }

  abandon(): void {
    this.#open = false
    this.#chunks = []
  }
}

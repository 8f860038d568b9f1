import { BLOCK_BYTES } from '../record.ts'
import type { BodyRead, StoredHandle } from '../shared-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import type { RedisValue } from './redis-value.ts'

/** The most that one piece of a body has. */
const MAX_PIECE_BYTES = 256 * 1024

/** Bytes [first, end) of a body that did not come with its head; null when they are not there, or not sound. */
export type FetchBody = (handle: RedisHandle, first: number, end: number) => Promise<Buffer | null>

export class RedisHandle implements StoredHandle {
  readonly keyHash: Buffer
  readonly value: RedisValue
  /** `performance.now()` at which the look-up that found it has had its time, the reading of a body included. */
  readonly deadlineAt: number
  readonly #fetch: FetchBody

  constructor(keyHash: Buffer, value: RedisValue, deadlineAt: number, fetch: FetchBody) {
    this.keyHash = keyHash
    this.value = value
    this.deadlineAt = deadlineAt
    this.#fetch = fetch
  }

  get metadata(): StoredMetadata {
    return this.value.metadata
  }

  get bodyLength(): number {
    return this.value.bodyLength
  }

  read(first: number, end: number): BodyRead {
    return new RedisBodyRead(this, this.#fetch, first, end)
  }

  /** All of the body; null when it is not there any more, or not sound. */
  whole(): Promise<Buffer | null> {
    const { inline, bodyLength } = this.value
    return inline === null ? this.#fetch(this, 0, bodyLength) : Promise.resolve(inline)
  }
}

/** One round trip, whole blocks because those are what can be verified; then piece by piece from memory. */
class RedisBodyRead implements BodyRead {
  readonly #handle: RedisHandle
  readonly #fetch: FetchBody
  readonly #end: number
  #at: number
  #bytes: Buffer | null = null
  /** Where `#bytes` begins. */
  #start = 0

  constructor(handle: RedisHandle, fetch: FetchBody, first: number, end: number) {
    this.#handle = handle
    this.#fetch = fetch
    this.#at = first
    this.#end = end
    this.#bytes = handle.value.inline
  }

  async next(): Promise<Buffer | null> {
    if (this.#at >= this.#end) return null
    this.#bytes ??= await this.#load()
    const stop = Math.min(this.#at + MAX_PIECE_BYTES, this.#end)
    const piece = this.#bytes.subarray(this.#at - this.#start, stop - this.#start)
    this.#at = stop
    return piece
  }

  async #load(): Promise<Buffer> {
    this.#start = Math.floor(this.#at / BLOCK_BYTES) * BLOCK_BYTES
    const stop = Math.ceil(this.#end / BLOCK_BYTES) * BLOCK_BYTES
    const length = Math.min(stop, this.#handle.bodyLength)
    const bytes = await this.#fetch(this.#handle, this.#start, length)
    if (bytes === null) throw new Error('the body in Redis is not what was stored')
    return bytes
  }

  close(): void {
    this.#at = this.#end
    this.#bytes = null
  }
}

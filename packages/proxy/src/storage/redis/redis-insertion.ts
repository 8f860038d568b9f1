import type { Insertion } from '../storage-tier.ts'
import { contentLengthOf, type StoredMetadata } from '../stored-response.ts'

/** Gathers a body and hands it over on commit. */
export class RedisInsertion implements Insertion {
  readonly #metadata: StoredMetadata
  readonly #expectedBytes: number | undefined
  readonly #maxBytes: number
  readonly #store: (metadata: StoredMetadata, body: Buffer) => void
  #chunks: Buffer[] = []
  #bytes = 0
  #open = true

  constructor(
    metadata: StoredMetadata,
    expectedBytes: number | undefined,
    maxBytes: number,
    store: (metadata: StoredMetadata, body: Buffer) => void,
  ) {
    this.#metadata = metadata
    this.#expectedBytes = expectedBytes
    this.#maxBytes = maxBytes
    this.#store = store
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
    const chunks = this.#chunks
    this.abandon()
    if (this.#bytes !== (this.#expectedBytes ?? this.#bytes)) return
    const { fields, status } = this.#metadata
    if (status !== 204) fields.set('content-length', contentLengthOf(this.#metadata, this.#bytes))
    this.#store(this.#metadata, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
  }

  abandon(): void {
    this.#open = false
    this.#chunks = []
  }
}

import { blockChecksums } from '../record.ts'
import type { BodyRead, StoredHandle } from '../shared-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import type { Location } from './location.ts'

/** A record that was found, its head verified. */
export interface FoundRecord {
  readonly keyHash: Buffer
  readonly location: Location
  readonly metadata: StoredMetadata
  readonly checksums: readonly number[]
  /** Read along with the head; null when it was too long. */
  readonly body: Buffer | null
}

export interface BodySource {
  readBody(record: FoundRecord, first: number, end: number): BodyRead
}

export class DiskHandle implements StoredHandle {
  readonly record: FoundRecord
  readonly #source: BodySource

  constructor(source: BodySource, record: FoundRecord) {
    this.#source = source
    this.record = record
  }

  get metadata(): StoredMetadata {
    return this.record.metadata
  }

  get bodyLength(): number {
    return this.record.location.bodyBytes
  }

  read(first: number, end: number): BodyRead {
    return this.#source.readBody(this.record, first, end)
  }
}

export function isBodySound(body: Buffer, checksums: readonly number[]): boolean {
  const sums = blockChecksums(body)
  return sums.length === checksums.length && sums.every((sum, i) => sum === checksums[i])
}

/** A body that was read along with its head and verified. */
export class HeldBody implements BodyRead {
  #body: Buffer | null

  constructor(body: Buffer) {
    this.#body = body
  }

  async next(): Promise<Buffer | null> {
    const body = this.#body
    this.#body = null
    return body === null || body.length === 0 ? null : body
  }

  close(): void {
    this.#body = null
  }
}

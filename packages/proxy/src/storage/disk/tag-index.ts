import type { Database, RootDatabase } from 'lmdb'
import type { Location } from './location.ts'
import { TAG_HASH_BYTES } from './tag-hash.ts'

/** Where the head of a record is. */
export type Place = Pick<Location, 'segment' | 'offset'>

/** A record with a tag: no promise that its key still leads to it. */
export interface TaggedRecord extends Place {
  readonly keyHash: Buffer
  /** Where the next step of a walk begins: behind this. */
  readonly entry: Buffer
}

const PLACE_BYTES = 8

/**
 * Tag → records, beside the index of the keys and in its transactions: what a purge by tag would cover is found without
 * a walk over everything. An entry belongs to one record at one place, so it goes when that record does, whatever has
 * become of its key. 16 bytes of entry and 16 of key hash for each tag of a record.
 */
export class TagIndex {
  readonly #entries: Database<Buffer, Buffer>

  constructor(root: RootDatabase) {
    this.#entries = root.openDB({ name: 'tags', encoding: 'binary', keyEncoding: 'binary' })
  }

  /** Within a transaction. `tags`: hashes, one behind the other. */
  put(tags: Buffer, place: Place, keyHash: Buffer): void {
    for (const entry of entriesOf(tags, place)) this.#entries.putSync(entry, keyHash)
  }

  /** Within a transaction. */
  remove(tags: Buffer, place: Place): void {
    for (const entry of entriesOf(tags, place)) this.#entries.removeSync(entry)
  }

  /** Up to `limit` records with this tag behind `after`, oldest segment first. */
  records(tag: Buffer, after: Buffer | undefined, limit: number): TaggedRecord[] {
    const end = Buffer.concat([tag, Buffer.alloc(PLACE_BYTES + 1, 0xff)])
    return this.#range({ start: after ?? tag, end, limit })
  }

  /** Up to `limit` entries of any tag behind `after`: for a sweep in small steps. */
  scan(after: Buffer | undefined, limit: number): TaggedRecord[] {
    return this.#range({ start: after, limit })
  }

  #range(range: { start: Buffer | undefined; end?: Buffer; limit: number }): TaggedRecord[] {
    return [...this.#entries.getRange(range)].map(({ key, value }) => ({
      entry: Buffer.from(key),
      segment: key.readUInt32BE(TAG_HASH_BYTES),
      offset: key.readUInt32BE(TAG_HASH_BYTES + 4),
      keyHash: Buffer.from(value),
    }))
  }
}

/** The tag that an entry is of. */
export function tagOf({ entry }: TaggedRecord): Buffer {
  return entry.subarray(0, TAG_HASH_BYTES)
}

function* entriesOf(tags: Buffer, { segment, offset }: Place): Generator<Buffer> {
  for (let at = 0; at < tags.length; at += TAG_HASH_BYTES) {
    const entry = Buffer.allocUnsafe(TAG_HASH_BYTES + PLACE_BYTES)
    tags.copy(entry, 0, at, at + TAG_HASH_BYTES)
    entry.writeUInt32BE(segment, TAG_HASH_BYTES)
    entry.writeUInt32BE(offset, TAG_HASH_BYTES + 4)
    yield entry
  }
}

import { hashOf } from '../content-hash.ts'
import { slotOf } from '../record.ts'
import type { StoredMetadata } from '../stored-response.ts'

/** Of values: another format has other names, so that two versions of the proxy do not take each other's away. */
const FORMAT = 1

/** What things are called in Redis. All names of one key carry the same hash tag. */
export class RedisNames {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** The hash of a key's heads. */
  heads(keyHash: Buffer): string {
    return `${this.#prefix}r${FORMAT}:{${tagOf(keyHash)}}`
  }

  /** Who of the PoP fetches the key. */
  lease(keyHash: Buffer): string {
    return `${this.heads(keyHash)}:lease`
  }

  /** A long body. Its name tells its bytes, so that a head never meets those of another version. */
  body(
    keyHash: Buffer,
    metadata: StoredMetadata,
    checksums: readonly number[],
    bodyLength: number,
  ): string {
    const version = hashOf(`${bodyLength}:${checksums.join(',')}`).toString('base64url')
    return `${this.heads(keyHash)}:${slotOf(metadata)}:${version}`
  }
}

export function tagOf(keyHash: Buffer): string {
  return keyHash.toString('base64url')
}

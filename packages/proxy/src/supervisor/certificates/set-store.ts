import type { CertificatePair, CertificateSet } from '@larder/certs'

/** What is known of a stored set without reading it. */
export interface StoredHead {
  readonly id: string
  readonly names: readonly string[]
  readonly version: number
}

/** Where sets are kept that came by the admin API or by ACME: on this machine, or shared by all of the PoP. */
export interface SetStore {
  /** Tells what there is by `onHead`, and from then on what changes; a head without names is a set that is gone. */
  start(onHead: (head: StoredHead) => void): Promise<void>
  /** null when it is not there. Rejects when it cannot be read or opened. */
  read(id: string): Promise<CertificateSet | null>
  /** Stores it as the newest; resolves to its version. Rejects when it cannot, and with `StaleFence`. */
  put(
    id: string,
    names: readonly string[],
    pairs: readonly CertificatePair[],
    fence?: number,
  ): Promise<number>
  /** False when it was not there. */
  remove(id: string): Promise<boolean>
  stop(): Promise<void>
}

/** Sets in one store. */
export const MAX_STORED_SETS = 200_000

/** Someone else has begun to make the same after whoever stores it: theirs stays. */
export class StaleFence extends Error {
  constructor(id: string) {
    super(
      `The certificate of '${id}' is refused: another renewal began after this one, and what it brought stays.`,
    )
  }
}

/** The place is out of reach or full: nothing was changed. */
export class StoreUnavailable extends Error {}

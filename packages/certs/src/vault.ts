import type { CertificatePair } from './read.ts'

/** Everything that is served for an id: one pair, or two with keys of different kinds (ECDSA, RSA) for the same names. */
export interface CertificateSet {
  readonly id: string
  /** Lower case; exact, `*.name` for one label in front, `*` for every name left. */
  readonly names: readonly string[]
  /** Grows with each commit to the id: a lower one never replaces a higher one. */
  readonly version: number
  readonly pairs: readonly CertificatePair[]
}

/** Where certificates that are made here, by ACME for one, are kept for every machine that serves them. */
export interface CertificateVault {
  /** What is served now; null when there is nothing. Rejects when the place cannot be read. */
  current(id: string): Promise<CertificateSet | null>
  /**
   * Checks and stores; every worker that hears of it serves it from the next handshake. Answers the version.
   * Rejects, with the reason and the cure, when it is refused; what was there stays. `fence`: the number of the lease
   * under which they were made; one that is lower than that of an earlier commit is refused.
   */
  commit(
    id: string,
    names: readonly string[],
    pairs: readonly CertificatePair[],
    fence?: number,
  ): Promise<number>
}

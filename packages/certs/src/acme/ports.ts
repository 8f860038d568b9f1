/** What ACME needs of its surroundings; each is small, so that a machine alone and a point of presence differ only here. */

export type ChallengeKind = 'http-01' | 'tls-alpn-01'

/** A challenge that the authority may validate from now on (RFC 8555 §8). */
export interface PendingChallenge {
  readonly kind: ChallengeKind
  /** The DNS name, lower case. */
  readonly name: string
  /** base64url, as the authority gave it. */
  readonly token: string
  /** RFC 8555 §8.1. Shows that we have the account key; it is no secret once it is published. */
  readonly keyAuthorization: string
}

export interface ChallengeBoard {
  /**
   * Resolves when whoever may be asked will answer, as far as that can be known; called for each order with all its
   * challenges. Rejects when nobody could answer.
   */
  publish(challenges: readonly PendingChallenge[]): Promise<void>
  /** Rejections are of no consequence: what is not withdrawn ends by itself. */
  withdraw(challenges: readonly PendingChallenge[]): Promise<void>
}

/** One renewer at a time, for each certificate. */
export interface Lease {
  /** `evenResting`: what has failed before does not matter any more. Rejects when it cannot be known who has it. */
  take(id: string, evenResting?: boolean): Promise<LeaseAnswer>
}

export type LeaseAnswer =
  | { readonly kind: 'held'; readonly lease: HeldLease }
  /** Someone else renews, or has failed and lets the authority rest. */
  | { readonly kind: 'busy'; readonly retryAfterMs: number }

export interface HeldLease {
  /** Grows with every holder of this certificate's lease. */
  readonly fence: number
  /** How many attempts in a row have failed before this one, on whichever machine. */
  readonly failures: number
  /** From now on for its whole duration again; false when it is someone else's by now. */
  extend(): Promise<boolean>
  /** `failures`: for the next holder. `restMs`: until then nobody gets it. */
  release(failures: number, restMs: number): Promise<void>
}

/** How long a lease lasts without being extended. */
export const LEASE_MS = 30_000

/** Where the key of the account is; readable by its owner alone. */
export interface AccountStore {
  /** PEM (PKCS #8), or null when there is none yet for this directory. */
  load(directoryUrl: string): Promise<string | null>
  save(directoryUrl: string, keyPem: string): Promise<void>
}

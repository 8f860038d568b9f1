import type { CertificateSet, KeyKind } from '@larder/certs'

/** Where sets come from; for a name that several have, the first in this order answers. */
export const SOURCE_KINDS = ['admin', 'files', 'acme', 'folder', 'self-signed'] as const
export type SourceKind = (typeof SOURCE_KINDS)[number]

/** What is shown of a set, and needs no file to be read again. */
export interface SetFacts {
  readonly issuer: string
  readonly serial: string
  /** Epoch ms; of several pairs the earliest. */
  readonly notAfterAt: number
  readonly keyKinds: readonly KeyKind[]
}

/** A set that there is, whether or not it has been read. */
export interface KnownSet {
  readonly id: string
  readonly source: SourceKind
  /** Of a file that has not been read yet: what its own name says. */
  names: readonly string[]
  version: number
  /** Undefined until it was read. */
  facts: SetFacts | undefined
  readonly owner: SetOwner
}

/** Reads its sets when they are asked for, and keeps a bounded number of them. */
export interface SetOwner {
  /** null when there is nothing (any more) that may be served. */
  read(set: KnownSet): Promise<CertificateSet | null>
  /** Whether it matters when it expires: someone has configured it or asked for it. */
  isInUse(set: KnownSet): boolean
}

/** What owners tell of their sets. */
export interface SetEvents {
  /** There is a new one, or one has changed: its names, or with `isRenewed` what it serves. */
  put(set: KnownSet, namesBefore: readonly string[], isRenewed: boolean): void
  drop(set: KnownSet): void
  /** Something is not served, for this reason; what was there stays. */
  refused(source: SourceKind, message: string): void
  /** Read and checked. */
  loaded(source: SourceKind): void
}

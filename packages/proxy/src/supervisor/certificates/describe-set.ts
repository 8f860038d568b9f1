import { daysLeft } from '@larder/certs'
import type { KnownSet } from './known-set.ts'

/** What anyone may know of a set. */
export interface SetDescription {
  readonly id: string
  readonly names: readonly string[]
  readonly source: string
  readonly version: number
  /** null while the certificate has not been read. */
  readonly issuer: string | null
  readonly serial: string | null
  readonly notAfter: string | null
  readonly daysLeft: number | null
  readonly keys: readonly string[] | null
}

export function describeSet(
  { id, source, version, facts }: KnownSet,
  names: readonly string[],
  now: number,
): SetDescription {
  return {
    id,
    names,
    source,
    version,
    issuer: facts?.issuer ?? null,
    serial: facts?.serial ?? null,
    notAfter: facts === undefined ? null : new Date(facts.notAfterAt).toISOString(),
    daysLeft: facts === undefined ? null : daysLeft(facts, now),
    keys: facts?.keyKinds ?? null,
  }
}

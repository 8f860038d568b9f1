import { isIP } from 'node:net'
import {
  type CertificateFacts,
  type CertificatePair,
  checkPair,
  type KeyKind,
  validityProblem,
} from '@larder/certs'
import type { SetFacts } from './known-set.ts'

/** What to call the two halves of a pair in a message: files, or members of a request. */
export interface PairPlace {
  readonly certFile: string
  readonly keyFile: string
}

export type SetCheck =
  | { readonly ok: true; readonly names: readonly string[]; readonly facts: SetFacts }
  | { readonly ok: false; readonly message: string }

/** Whether these pairs may be served together from now on, for which names, and if not, why and what to do. */
export function checkSet(
  pairs: readonly CertificatePair[],
  places: readonly PairPlace[],
  now: number,
): SetCheck {
  const all: CertificateFacts[] = []
  for (const [index, pair] of pairs.entries()) {
    const { certFile, keyFile } = places[index] ?? places[0]
    const check = checkPair(pair, certFile, keyFile)
    if (!check.ok) return { ok: false, message: check.message }
    const problem = validityProblem(check.facts, certFile, now)
    if (problem !== undefined) return { ok: false, message: problem }
    all.push(check.facts)
  }
  const kinds = new Set<KeyKind>(all.map(({ keyKind }) => keyKind))
  const { certFile } = places[0]
  if (all.length === 0 || kinds.size < all.length) {
    const message = `'${certFile}' and what stands beside it have keys of the same kind. Give one certificate with an ECDSA key, one with an RSA key, or a single one.`
    return { ok: false, message }
  }
  const names = commonNames(all)
  if (names.length === 0) {
    const message = `The certificate in '${certFile}' is for no host name (subjectAltName). Have one issued that names the hosts.`
    return { ok: false, message }
  }
  return { ok: true, names, facts: factsOfSet(all) }
}

export function factsOfSet(all: readonly CertificateFacts[]): SetFacts {
  return {
    issuer: shared(all[0]?.issuer ?? ''),
    serial: all[0]?.serial ?? '',
    notAfterAt: Math.min(...all.map(({ notAfterAt }) => notAfterAt)),
    keyKinds: all.length === 1 ? ONE_KIND[all[0].keyKind] : all.map(({ keyKind }) => keyKind),
  }
}

/** Addresses are left out: no client asks for one by SNI (RFC 6066 §3). */
export function commonNames(all: readonly Pick<CertificateFacts, 'names'>[]): string[] {
  const [first, ...others] = all
  return (first?.names ?? []).filter(
    (name) => isIP(name) === 0 && others.every(({ names }) => names.includes(name)),
  )
}

const ONE_KIND: Readonly<Record<KeyKind, readonly KeyKind[]>> = {
  ecdsa: ['ecdsa'],
  rsa: ['rsa'],
  other: ['other'],
}

/** A hundred thousand certificates have a handful of issuers: one text for each. */
const issuers = new Map<string, string>()
const MAX_ISSUERS = 1_000

function shared(issuer: string): string {
  const known = issuers.get(issuer)
  if (known !== undefined) return known
  if (issuers.size >= MAX_ISSUERS) issuers.clear()
  issuers.set(issuer, issuer)
  return issuer
}

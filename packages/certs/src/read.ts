import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'

/** A certificate with its key, as text. */
export interface CertificatePair {
  /** Leaf first, then its chain. */
  readonly certPem: string
  readonly keyPem: string
}

export interface CertificateFacts {
  /** DNS names and addresses of the leaf, lower case; wildcards as `*.name`. */
  readonly names: readonly string[]
  /** Epoch ms. */
  readonly notBeforeAt: number
  readonly notAfterAt: number
  readonly issuer: string
  /** SHA-256 over the leaf, lower-case hexadecimal. */
  readonly fingerprint: string
}

export type CertificateCheck =
  | { readonly ok: true; readonly facts: CertificateFacts }
  | { readonly ok: false; readonly in: 'certificate' | 'key'; readonly message: string }

/** Reads a pair and checks that the key is the leaf's. Expiry is a fact, not a failure: see `expiryWarning`. */
export function checkPair(
  pair: CertificatePair,
  certFile: string,
  keyFile: string,
): CertificateCheck {
  let leaf: X509Certificate
  try {
    leaf = new X509Certificate(pair.certPem)
  } catch (error) {
    const message = `'${certFile}' holds no certificate that can be read (${reasonOf(error)}). Give it in PEM, the site's own certificate first.`
    return { ok: false, in: 'certificate', message }
  }
  let key: KeyObject
  try {
    key = createPrivateKey(pair.keyPem)
  } catch (error) {
    const message = `'${keyFile}' holds no private key that can be read (${reasonOf(error)}). Give it in PEM, without a passphrase.`
    return { ok: false, in: 'key', message }
  }
  if (!leaf.checkPrivateKey(key)) {
    const message = `The key in '${keyFile}' does not belong to the certificate in '${certFile}'. Point keyFile at the key it was issued for.`
    return { ok: false, in: 'key', message }
  }
  return { ok: true, facts: factsOf(leaf) }
}

/** What to tell the operator about the validity period, or undefined when there is nothing to tell. */
export function expiryWarning(
  facts: CertificateFacts,
  file: string,
  now: number,
): string | undefined {
  if (facts.notAfterAt <= now) {
    return `The certificate in '${file}' expired on ${day(facts.notAfterAt)}: clients refuse it. Renew it.`
  }
  if (facts.notBeforeAt > now) {
    return `The certificate in '${file}' is not valid before ${day(facts.notBeforeAt)}. Is the clock of this machine right?`
  }
  const days = Math.floor((facts.notAfterAt - now) / 86_400_000)
  if (days >= 14) return undefined
  return `The certificate in '${file}' expires on ${day(facts.notAfterAt)}, in ${days} days. Renew it.`
}

/** Whether the certificate is good for this host: exact, or a wildcard for its first label (RFC 9525 §6.3). */
export function coversName(facts: CertificateFacts, host: string): boolean {
  if (facts.names.includes(host)) return true
  const dot = host.indexOf('.')
  return dot !== -1 && facts.names.includes(`*${host.slice(dot)}`)
}

function factsOf(leaf: X509Certificate): CertificateFacts {
  const names: string[] = []
  for (const part of (leaf.subjectAltName ?? '').split(', ')) {
    const match = /^(DNS|IP Address):(.+)$/.exec(part)
    if (match !== null) names.push(match[2].toLowerCase())
  }
  return {
    names,
    notBeforeAt: leaf.validFromDate.getTime(),
    notAfterAt: leaf.validToDate.getTime(),
    issuer: leaf.issuer.replaceAll('\n', ', '),
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
  }
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^error:[^:]*:[^:]*::?/, '') : String(error)
}

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
  /** Lower-case hexadecimal. */
  readonly serial: string
  /** SHA-256 over the leaf, lower-case hexadecimal. */
  readonly fingerprint: string
  readonly keyKind: KeyKind
}

/** What a client must be able to verify; a name may have one certificate of each of the first two. */
export type KeyKind = 'ecdsa' | 'rsa' | 'other'

export type CertificateCheck =
  | { readonly ok: true; readonly facts: CertificateFacts }
  | { readonly ok: false; readonly in: 'certificate' | 'key'; readonly message: string }

const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1']
const MIN_RSA_BITS = 2048
/** A chain that is longer is no chain of the Web. */
const MAX_CHAIN = 16
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * Reads a pair and checks that it can be served: that the key is the leaf's and good enough, and that each certificate
 * is signed by the one after it. Expiry is a fact, not a failure: see `expiryWarning` and `validityProblem`.
 */
export function checkPair(
  pair: CertificatePair,
  certFile: string,
  keyFile: string,
): CertificateCheck {
  let chain: X509Certificate[]
  try {
    chain = readChain(pair.certPem)
  } catch (error) {
    const message = `'${certFile}' holds no certificate that can be read (${reasonOf(error)}). Give it in PEM, the site's own certificate first.`
    return { ok: false, in: 'certificate', message }
  }
  const [leaf] = chain
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
  const unusable = keyProblem(leaf.publicKey, keyFile) ?? chainProblem(chain, certFile)
  if (unusable !== undefined) return { ok: false, ...unusable }
  return { ok: true, facts: factsOf(leaf) }
}

/** The facts of the first certificate; throws when there is none. */
export function readFacts(certPem: string): CertificateFacts {
  return factsOf(new X509Certificate(certPem))
}

/** Leaf first; throws when one of them cannot be read. */
export function readChain(certPem: string): X509Certificate[] {
  const blocks = certPem.match(PEM_CERTIFICATE) ?? [certPem]
  if (blocks.length > MAX_CHAIN) throw new Error(`${blocks.length} certificates in one file`)
  return blocks.map((block) => new X509Certificate(block))
}

/** Why a certificate is not to take the place of another now; undefined when it may. */
export function validityProblem(
  facts: CertificateFacts,
  file: string,
  now: number,
): string | undefined {
  if (facts.notAfterAt <= now) {
    return `The certificate in '${file}' expired on ${day(facts.notAfterAt)}. Renew it.`
  }
  if (facts.notBeforeAt > now) {
    return `The certificate in '${file}' is not valid before ${new Date(facts.notBeforeAt).toISOString()}. Is the clock of this machine right?`
  }
  return undefined
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
  const days = daysLeft(facts, now)
  if (days >= 14) return undefined
  return `The certificate in '${file}' expires on ${day(facts.notAfterAt)}, in ${days} days. Renew it.`
}

/** Whole days until it expires; negative when it has. */
export function daysLeft(facts: Pick<CertificateFacts, 'notAfterAt'>, now: number): number {
  return Math.floor((facts.notAfterAt - now) / 86_400_000)
}

/** Whether the certificate is good for this host: exact, or a wildcard for its first label (RFC 9525 §6.3). */
export function coversName(facts: Pick<CertificateFacts, 'names'>, host: string): boolean {
  if (facts.names.includes(host)) return true
  const dot = host.indexOf('.')
  return dot !== -1 && facts.names.includes(`*${host.slice(dot)}`)
}

function keyProblem(key: KeyObject, keyFile: string) {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const { modulusLength = 0, namedCurve } = details ?? {}
  let message: string | undefined
  if (type === 'rsa' || type === 'rsa-pss') {
    if (modulusLength < MIN_RSA_BITS) {
      message = `The RSA key in '${keyFile}' has ${modulusLength} bits, which is too weak. Have a certificate issued for a key of at least ${MIN_RSA_BITS} bits, or for P-256.`
    }
  } else if (type !== 'ec' || !CURVES.includes(namedCurve)) {
    message = `The key in '${keyFile}' is of the kind ${namedCurve ?? type}, which browsers do not take. Use P-256, P-384 or RSA.`
  }
  return message === undefined ? undefined : { in: 'key' as const, message }
}

/** Each certificate is signed by the next one; the last may be anyone's. */
function chainProblem(chain: readonly X509Certificate[], certFile: string) {
  for (let index = 0; index + 1 < chain.length; index++) {
    const [subject, issuer] = [chain[index], chain[index + 1]]
    if (subject.checkIssued(issuer) && isSignedBy(subject, issuer)) continue
    const message = `The chain in '${certFile}' does not verify: certificate ${index + 2} (${shown(issuer.subject)}) has not signed certificate ${index + 1} (${shown(subject.subject)}). Put behind each certificate the one of its issuer, as the authority gave them.`
    return { in: 'certificate' as const, message }
  }
  return undefined
}

function isSignedBy(subject: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return subject.verify(issuer.publicKey)
  } catch {
    // A key of a kind that cannot have made this signature.
    return false
  }
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
    issuer: leaf.issuer?.replaceAll('\n', ', ') ?? '',
    serial: leaf.serialNumber.toLowerCase(),
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    keyKind: keyKindOf(leaf.publicKey.asymmetricKeyType),
  }
}

function keyKindOf(type: string | undefined): KeyKind {
  if (type === 'ec') return 'ecdsa'
  return type === 'rsa' || type === 'rsa-pss' ? 'rsa' : 'other'
}

function shown(subject: string | undefined): string {
  return (subject ?? 'without a name').replaceAll('\n', ', ')
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^error:[^:]*:[^:]*::?/, '') : String(error)
}

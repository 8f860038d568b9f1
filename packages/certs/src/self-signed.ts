import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import type { CertificatePair } from './read.ts'

/** Kinds of keys that are made here. */
export type NewKeyKind = 'p256' | 'p384' | 'rsa2048' | 'rsa4096'

export interface IssueOptions {
  readonly key?: NewKeyKind
  /** Epoch ms; an hour ago without it. */
  readonly notBeforeAt?: number
  /** Epoch ms; in a year without it. */
  readonly notAfterAt?: number
}

const DAY_MS = 86_400_000
const AUTHORITY_DAYS = 3650
/** Browsers refuse leaves that are valid for longer than 398 days. */
const LEAF_DAYS = 365
/** Clients whose clock is a little behind. */
const BACKDATE_MS = 3_600_000

/** An authority for development: whoever trusts it trusts whoever holds its key. */
export async function createAuthority(now: number): Promise<CertificatePair> {
  const { keys, algorithm } = await newKey('p256')
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    // The random part keeps browsers from mixing up two authorities of the same name.
    name: `CN=Larder development authority ${randomBytes(4).toString('hex')}`,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + AUTHORITY_DAYS * DAY_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certPem: certificate.toString('pem'), keyPem: await keyPem(keys.privateKey) }
}

/** A server certificate for these DNS names, wildcards and addresses, followed by its authority. */
export async function issueCertificate(
  authority: CertificatePair,
  names: readonly string[],
  now: number,
  { key = 'p256', notBeforeAt, notAfterAt }: IssueOptions = {},
): Promise<CertificatePair> {
  const issuer = new x509.X509Certificate(authority.certPem)
  const signingKey = await importAuthorityKey(authority.keyPem)
  const { keys } = await newKey(key)
  const lastAt = notAfterAt ?? Math.min(now + LEAF_DAYS * DAY_MS, issuer.notAfter.getTime())
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: 'CN=Larder self-signed',
    issuer: issuer.subject,
    notBefore: new Date(notBeforeAt ?? now - BACKDATE_MS),
    notAfter: new Date(lastAt),
    signingAlgorithm: ALGORITHMS.p256,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      alternativeNames(names),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const certPem = `${certificate.toString('pem')}\n${authority.certPem.trim()}\n`
  return { certPem, keyPem: await keyPem(keys.privateKey) }
}

export interface SigningRequest {
  /** PKCS #10 in PEM (RFC 2986). */
  readonly requestPem: string
  readonly keyPem: string
}

/** A new key, and the request for a certificate for it. The first name is its subject. */
export async function createSigningRequest(
  names: readonly string[],
  key: NewKeyKind,
): Promise<SigningRequest> {
  const { keys, algorithm } = await newKey(key)
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [names[0] ?? ''] }],
    keys,
    signingAlgorithm: algorithm,
    extensions: [alternativeNames(names)],
  })
  return { requestPem: `${request.toString('pem')}\n`, keyPem: await keyPem(keys.privateKey) }
}

const ALGORITHMS = {
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  rsa2048: rsa(2048),
  rsa4096: rsa(4096),
} as const

function rsa(modulusLength: number) {
  const publicExponent = new Uint8Array([1, 0, 1])
  return { name: 'RSASSA-PKCS1-v1_5', modulusLength, publicExponent, hash: 'SHA-256' }
}

async function newKey(kind: NewKeyKind) {
  const algorithm = ALGORITHMS[kind]
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  return { keys, algorithm }
}

function alternativeNames(names: readonly string[]): x509.SubjectAlternativeNameExtension {
  return new x509.SubjectAlternativeNameExtension(
    names.map((name) => ({ type: isIP(name) === 0 ? 'dns' : 'ip', value: name })),
  )
}

/** 16 random bytes, positive (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0] & 0x7f) | 0x40
  return bytes.toString('hex')
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  return x509.PemConverter.encode(der, 'PRIVATE KEY')
}

function importAuthorityKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = x509.PemConverter.decodeFirst(pem)
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHMS.p256, false, ['sign'])
}

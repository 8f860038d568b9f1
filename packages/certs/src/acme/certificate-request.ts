import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

export type CertificateKeyType = 'p256' | 'p384' | 'rsa2048' | 'rsa4096'

export interface CertificateRequest {
  /** DER, base64url: as `finalize` takes it (RFC 8555 §7.4). */
  readonly csr: string
  readonly keyPem: string
}

const PUBLIC_EXPONENT = new Uint8Array([1, 0, 1])

const ALGORITHMS = {
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  rsa2048: rsa(2048),
  rsa4096: rsa(4096),
} as const

/** A new key, and the request to certify it for these DNS names. No subject: names that matter stand in the SAN. */
export async function makeCertificateRequest(
  names: readonly string[],
  keyType: CertificateKeyType,
): Promise<CertificateRequest> {
  const algorithm = ALGORITHMS[keyType]
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
    ],
  })
  return {
    csr: Buffer.from(request.rawData).toString('base64url'),
    keyPem: await pkcs8Pem(keys.privateKey),
  }
}

export async function pkcs8Pem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')
}

function rsa(modulusLength: number) {
  return {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    publicExponent: PUBLIC_EXPONENT,
    modulusLength,
  } as const
}

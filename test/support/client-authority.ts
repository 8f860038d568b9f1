import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 86_400_000

export interface ClientPair {
  readonly cert: string
  readonly key: string
}

export interface Validity {
  readonly notBefore?: Date
  readonly notAfter?: Date
}

/** An authority that gives certificates to clients. */
export interface ClientAuthority {
  readonly certPem: string
  /** Attributes, the most general first: `[{ O: ['Example'] }, { CN: ['Alice'] }]`. */
  issue(subject: x509.JsonName, validity?: Validity): Promise<ClientPair>
}

export async function clientAuthority(name: string): Promise<ClientAuthority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  let serial = 1
  const around = ({ notBefore, notAfter }: Validity) => ({
    notBefore: notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: notAfter ?? new Date(Date.now() + DAY_MS),
  })
  const own = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: [{ CN: [name] }],
    ...around({ notAfter: new Date(Date.now() + 10 * DAY_MS) }),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  })
  return {
    certPem: own.toString('pem'),
    async issue(subject, validity = {}) {
      const clientKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(2, '0'),
        subject,
        issuer: own.subject,
        ...around(validity),
        signingAlgorithm: ALGORITHM,
        publicKey: clientKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
      })
      const der = await webcrypto.subtle.exportKey('pkcs8', clientKeys.privateKey)
      return {
        cert: certificate.toString('pem'),
        key: x509.PemConverter.encode(der, 'PRIVATE KEY'),
      }
    },
  }
}

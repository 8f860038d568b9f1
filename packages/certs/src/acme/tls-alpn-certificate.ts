import 'reflect-metadata'
import { createHash, randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { CertificatePair } from '../read.ts'
import { pkcs8Pem } from './certificate-request.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
/** id-pe-acmeIdentifier (RFC 8737 §6.1) */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31'
const VALID_FOR_MS = 7 * 86_400_000
const BACKDATE_MS = 86_400_000

/**
 * What a validating authority is shown (RFC 8737 §3): self-signed, for exactly one DNS name, with the SHA-256 of the
 * key authorization in a critical extension. No other client ever sees it.
 */
export async function tlsAlpnCertificate(
  name: string,
  keyAuthorization: string,
  now: number,
): Promise<CertificatePair> {
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: positive(randomBytes(16)).toString('hex'),
    name: 'CN=Larder ACME challenge',
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + VALID_FOR_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
      // Authorization ::= OCTET STRING (SIZE (32))
      new x509.Extension(ACME_IDENTIFIER, true, Buffer.concat([Buffer.from([0x04, 32]), digest])),
    ],
  })
  return { certPem: certificate.toString('pem'), keyPem: await pkcs8Pem(keys.privateKey) }
}

/** RFC 5280 §4.1.2.2 */
function positive(bytes: Buffer): Buffer {
  bytes[0] = (bytes[0] & 0x7f) | 0x40
  return bytes
}

import { generateKeyPairSync, sign } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'

/** A context with a fresh self-signed certificate for `name`, for tests: twenty lines of DER instead of keys in files. */
export function selfSignedContext(name: string): SecureContext {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = der(0x30, oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02))
  const commonName = der(0x30, oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(name)))
  const subject = der(0x30, der(0x31, commonName))
  const validity = der(0x30, der(0x17, '200101000000Z'), der(0x17, '491231235959Z'))
  const names = der(0x30, der(0x82, Buffer.from(name)))
  const extension = der(0x30, oid(0x55, 0x1d, 0x11), der(0x04, names))
  const toBeSigned = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    algorithm,
    subject,
    validity,
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, extension)),
  )
  const signature = sign('sha256', toBeSigned, privateKey)
  const bits = der(0x03, Buffer.from([0]), signature)
  const base64 = der(0x30, toBeSigned, algorithm, bits).toString('base64')
  return createSecureContext({
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  })
}

function der(tag: number, ...parts: (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)))
  const { length } = content
  const head = length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(head), content])
}

function oid(...octets: number[]): Buffer {
  return der(0x06, Buffer.from(octets))
}

import { generateKeyPairSync, sign } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { contextOptions } from '../../tls-policy.ts'

/** A context with a fresh self-signed certificate for `name`, for tests: twenty lines of DER instead of keys in files. */
export function selfSignedContext(name: string, type: 'ec' | 'rsa' = 'ec'): SecureContext {
  const { certPem, keyPem } = selfSignedPair(name, type)
  return createSecureContext({ ...contextOptions('intermediate', 300), cert: certPem, key: keyPem })
}

export function selfSignedPair(name: string, type: 'ec' | 'rsa' = 'ec') {
  const { publicKey, privateKey } =
    type === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const algorithm = type === 'ec' ? der(0x30, ECDSA_WITH_SHA256) : der(0x30, RSA_WITH_SHA256, NULL)
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
  return {
    certPem: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    keyPem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  }
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

const ECDSA_WITH_SHA256 = oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)
const RSA_WITH_SHA256 = oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b)
const NULL = der(0x05)

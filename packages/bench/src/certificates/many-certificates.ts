import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CertificatePair } from '@larder/certs'
import { createAuthority, issueCertificate } from '../../../certs/src/self-signed.ts'

/** The name of certificate `index`; all are equally long. */
export function nameOf(index: number): string {
  return `n${String(index).padStart(7, '0')}.bench.test`
}

/**
 * Pairs for many names: one is issued, in the others the name is another and the signature made anew. That takes a
 * tenth of the time, and each is as good as the first.
 */
export async function writeManyPairs(folder: string, count: number): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const make = await maker()
  for (let index = 0; index < count; index++) {
    const { certPem, keyPem } = make(nameOf(index))
    const stem = join(folder, nameOf(index))
    writeFileSync(`${stem}.crt`, certPem)
    writeFileSync(`${stem}.key`, keyPem)
  }
}

async function maker(): Promise<(name: string) => CertificatePair> {
  const now = Date.now()
  const authority = await createAuthority(now)
  const model = await issueCertificate(authority, [nameOf(0)], now)
  const authorityKey = createPrivateKey(authority.keyPem)
  const [leaf] = model.certPem.split('-----END CERTIFICATE-----')
  const der = Buffer.from(leaf.replace('-----BEGIN CERTIFICATE-----', ''), 'base64')
  const signed = element(der, element(der, 0).start)
  const algorithm = element(der, signed.end)
  return (name) => {
    const body = Buffer.from(der.subarray(signed.begin, signed.end))
    body.write(name, body.indexOf(nameOf(0)), 'latin1')
    const parts = [
      body,
      der.subarray(algorithm.begin, algorithm.end),
      signatureOf(body, authorityKey),
    ]
    const text = wrapped(0x30, Buffer.concat(parts)).toString('base64').replace(/.{64}/g, '$&\n')
    const certPem = `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n${authority.certPem}\n`
    return { certPem, keyPem: model.keyPem }
  }
}

function signatureOf(body: Buffer, key: KeyObject): Buffer {
  return wrapped(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, key)]))
}

/** An element of DER (X.690 §8.1): where it begins, where its content does, and where it ends. */
function element(der: Buffer, begin: number): { begin: number; start: number; end: number } {
  const first = der[begin + 1]
  const octets = first < 0x80 ? 0 : first & 0x7f
  const length = octets === 0 ? first : der.readUIntBE(begin + 2, octets)
  const start = begin + 2 + octets
  return { begin, start, end: start + length }
}

function wrapped(tag: number, content: Buffer): Buffer {
  const { length } = content
  const head = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}

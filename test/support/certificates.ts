import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { type ConnectionOptions, connect } from 'node:tls'
import { type CertificatePair, readFacts } from '@larder/certs'
import {
  createAuthority,
  type IssueOptions,
  issueCertificate,
} from '../../packages/certs/src/self-signed.ts'

const authority = await createAuthority(Date.now())

/** A certificate of one authority for all tests of a file. */
export function issue(
  names: readonly string[],
  options: IssueOptions = {},
): Promise<CertificatePair> {
  return issueCertificate(authority, names, Date.now(), options)
}

export function serialOf({ certPem }: CertificatePair): string {
  return readFacts(certPem).serial
}

/** `name.crt` and `name.key`, each whole at once. */
export function writePair(stem: string, pair: CertificatePair): void {
  for (const [extension, text] of [
    ['key', pair.keyPem],
    ['crt', pair.certPem],
  ] as const) {
    writeFileSync(`${stem}.${extension}.new`, text)
    renameSync(`${stem}.${extension}.new`, `${stem}.${extension}`)
  }
}

/** The serial that a new connection for `servername` gets; null when it is refused. */
export async function serialSeen(
  port: number,
  servername: string,
  options: ConnectionOptions = {},
): Promise<string | null> {
  const socket = connect({
    ...{ port, host: '127.0.0.1', servername, rejectUnauthorized: false },
    ...options,
  })
  try {
    await once(socket, 'secureConnect')
    const { serialNumber } = socket.getPeerCertificate()
    // In an orderly way: what is cut in the handshake counts as one that goes on, up to its deadline.
    socket.resume().end()
    await once(socket, 'close')
    return serialNumber.toLowerCase()
  } catch {
    socket.destroy()
    return null
  }
}

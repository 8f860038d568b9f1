import { resolve } from 'node:path'
import { type CertificateFacts, checkPair, expiryWarning } from '@larder/certs'
import type { Problems } from './problems.ts'
import { type ConfigSources, readNamedFile } from './secrets.ts'

export interface ReadPair {
  /** Absolute, as `keyFile`. */
  readonly certFile: string
  readonly keyFile: string
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
}

/** A certificate and its key; undefined with the problem reported. That it has expired is a warning. */
export function readPair(
  { certFile, keyFile }: { readonly certFile: string; readonly keyFile: string },
  path: string,
  sources: ConfigSources,
  problems: Problems,
): ReadPair | undefined {
  const certPem = readNamedFile(certFile, `${path}.certFile`, sources, problems)
  const keyPem = readNamedFile(keyFile, `${path}.keyFile`, sources, problems)
  if (certPem === undefined || keyPem === undefined) return undefined
  const check = checkPair({ certPem, keyPem }, certFile, keyFile)
  if (!check.ok) {
    problems.error(`${path}.${check.in === 'key' ? 'keyFile' : 'certFile'}`, check.message)
    return undefined
  }
  const warning = expiryWarning(check.facts, certFile, sources.now)
  if (warning !== undefined) problems.warn(`${path}.certFile`, warning)
  const [absoluteCert, absoluteKey] = [certFile, keyFile].map((file) =>
    resolve(sources.folder, file),
  )
  return { certFile: absoluteCert, keyFile: absoluteKey, certPem, keyPem, facts: check.facts }
}

/**
 * What the names in a folder of certificates say. `www.acme.test.crt` with `www.acme.test.key` is for that name,
 * `_.acme.test.crt` for the wildcard; `www.acme.test.rsa.crt` beside it has a key of the other kind; and a folder
 * `www.acme.test` holds `fullchain.pem` and `privkey.pem`, as certbot keeps them.
 */

/** One file of a pair. */
export interface FolderFile {
  /** Names the set: what stands in front of suffix and extension. */
  readonly stem: string
  readonly suffix: Suffix
  readonly half: 'certificate' | 'key'
}

export const SUFFIXES = ['', '.ecdsa', '.rsa'] as const
export type Suffix = (typeof SUFFIXES)[number]

export const FOLDER_CERTIFICATE = 'fullchain.pem'
export const FOLDER_KEY = 'privkey.pem'

/** Undefined for what is no file of a pair. */
export function parseFolderFile(fileName: string): FolderFile | undefined {
  // Others write first under a name that begins with a dot.
  if (fileName.startsWith('.')) return undefined
  const half = fileName.endsWith('.crt') ? 'certificate' : 'key'
  if (half === 'key' && !fileName.endsWith('.key')) return undefined
  const name = fileName.slice(0, -4)
  const suffix = SUFFIXES.find((one) => one !== '' && name.endsWith(one)) ?? ''
  const stem = name.slice(0, name.length - suffix.length)
  return stem === '' ? undefined : { stem, suffix, half }
}

const HOST = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_](?:[a-z0-9_-]{0,62})$/

/** The name that a set is for, to go by until its certificate is read; undefined when its stem is no host name. */
export function nameOfStem(stem: string): string | undefined {
  const lower = stem.toLowerCase()
  const isWildcard = lower.startsWith('_.')
  const host = isWildcard ? lower.slice(2) : lower
  if (host.length > 253 || !HOST.test(host)) return undefined
  return isWildcard ? `*.${host}` : host
}

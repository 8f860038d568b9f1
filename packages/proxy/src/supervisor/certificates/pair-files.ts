import { open, stat } from 'node:fs/promises'
import type { CertificatePair } from '@larder/certs'
import type { PairPlace } from './check-set.ts'

/** A file with more is no certificate. */
const MAX_FILE_BYTES = 1024 * 1024

export interface ReadPair {
  readonly pair: CertificatePair
  /** Changes with the files. */
  readonly stamp: string
}

/** Both files as they are; undefined when one of them is not there. Rejects in words when one cannot be read. */
export async function readPair({ certFile, keyFile }: PairPlace): Promise<ReadPair | undefined> {
  const [cert, key] = await Promise.all([readText(certFile), readText(keyFile)])
  if (cert === undefined || key === undefined) return undefined
  return {
    pair: { certPem: cert.text, keyPem: key.text },
    stamp: `${cert.stamp} ${key.stamp}`,
  }
}

/** Undefined when there is no such file. */
export async function readText(file: string): Promise<{ text: string; stamp: string } | undefined> {
  try {
    const handle = await open(file, 'r')
    try {
      const { ino, mtimeMs, size } = await handle.stat()
      if (size > MAX_FILE_BYTES) throw new Error('too large')
      return { text: await handle.readFile('utf8'), stamp: `${ino}:${mtimeMs}:${size}` }
    } finally {
      await handle.close()
    }
  } catch (error) {
    // What fs throws is an Error with a code.
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    const cure =
      code === 'EACCES'
        ? 'This user may not read it. Check its owner and mode.'
        : `It cannot be read (${code ?? 'it has more than 1 MiB'}).`
    throw new Error(`'${file}': ${cure}`)
  }
}

/** The stamp without the content; undefined when one of them is not there. */
export async function stampOf(files: readonly PairPlace[]): Promise<string | undefined> {
  const stamps: string[] = []
  for (const { certFile, keyFile } of files) {
    for (const file of [certFile, keyFile]) {
      const stamp = await fileStamp(file)
      if (stamp === undefined) return undefined
      stamps.push(stamp)
    }
  }
  return stamps.join(' ')
}

async function fileStamp(file: string): Promise<string | undefined> {
  try {
    const { ino, mtimeMs, size } = await stat(file)
    return `${ino}:${mtimeMs}:${size}`
  } catch {
    // Gone or out of reach: reading it says which.
    return undefined
  }
}

import { X509Certificate } from 'node:crypto'
import type { AcmeConfig } from './config.ts'
import type { Problems } from './problems.ts'
import type { WrittenConfig } from './schema.ts'
import { type ConfigSources, readNamedFile } from './secrets.ts'

type WrittenAcme = NonNullable<WrittenConfig['acme']>

/** 16 octets at least, as authorities issue them. */
const HMAC_KEY = /^[A-Za-z0-9_-]{22,1024}={0,2}$/

export function normaliseAcme(
  written: WrittenConfig,
  sources: ConfigSources,
  problems: Problems,
): AcmeConfig | undefined {
  const { acme } = written
  if (acme === undefined) return undefined
  const { directory = '', email, termsAgreed = false, keyType = 'p256' } = acme
  return {
    directory,
    email,
    termsAgreed,
    eab: readExternalAccount(acme.eab, sources, problems),
    caPem: readAuthorities(acme.caFile, sources, problems),
    challenges: answerableChallenges(written),
    keyType,
  }
}

/** Those for which there is a listener, each once. */
export function answerableChallenges({ acme, listen }: WrittenConfig): AcmeConfig['challenges'] {
  const listeners = { 'http-01': listen?.http ?? [], 'tls-alpn-01': listen?.https ?? [] }
  return [...new Set(acme?.challenges ?? [])].filter((kind) => listeners[kind].length > 0)
}

function readExternalAccount(
  eab: WrittenAcme['eab'],
  sources: ConfigSources,
  problems: Problems,
): AcmeConfig['eab'] {
  if (eab === undefined) return undefined
  const { kid, hmacFile, hmacEnv } = eab
  if ((hmacFile === undefined) === (hmacEnv === undefined)) {
    problems.error('acme.eab', 'Name the HMAC key by exactly one of hmacFile and hmacEnv.')
    return undefined
  }
  const from = hmacFile === undefined ? 'acme.eab.hmacEnv' : 'acme.eab.hmacFile'
  const hmacKey =
    hmacFile === undefined
      ? sources.environment[hmacEnv ?? '']?.trim()
      : readNamedFile(hmacFile, from, sources, problems)?.trim()
  if (hmacKey === undefined) {
    if (hmacEnv !== undefined)
      problems.error(from, `There is no environment variable '${hmacEnv}'.`)
    return undefined
  }
  if (!HMAC_KEY.test(hmacKey)) {
    problems.error(from, 'This is no key in base64url, as authorities give it out with the kid.')
  }
  return { kid, hmacKey }
}

function readAuthorities(
  caFile: string | undefined,
  sources: ConfigSources,
  problems: Problems,
): string | undefined {
  if (caFile === undefined) return undefined
  const pem = readNamedFile(caFile, 'acme.caFile', sources, problems)
  if (pem === undefined) return undefined
  try {
    new X509Certificate(pem)
  } catch {
    problems.error('acme.caFile', `'${caFile}' holds no certificate in PEM form.`)
  }
  return pem
}

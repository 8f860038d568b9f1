import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { AdminTokenConfig } from './config.ts'
import type { Problems } from './problems.ts'
import type { WrittenConfig } from './schema.ts'

/** Where what the configuration only names is found. */
export interface ConfigSources {
  /** Relative paths start here: the folder of the configuration file. */
  readonly folder: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Epoch ms. */
  readonly now: number
}

type WrittenTokens = NonNullable<NonNullable<WrittenConfig['admin']>['tokens']>

/** A shorter secret could be guessed. */
const MIN_SECRET_CHARACTERS = 16

export function readAdminTokens(
  written: WrittenTokens,
  sources: ConfigSources,
  problems: Problems,
): AdminTokenConfig[] {
  return written.flatMap((token, index) => {
    const path = `admin.tokens[${index}]`
    if (problems.hasErrorUnder(path)) return []
    const secret = readSecret(token, path, sources, problems)
    if (secret === undefined) return []
    return {
      name: token.name,
      secretSha256: createHash('sha256').update(secret).digest('hex'),
      role: token.role,
      tenant: token.tenant,
    }
  })
}

/** The password of Redis, from where the configuration says; undefined when it has none. */
export function readRedisPassword(
  redis: NonNullable<WrittenConfig['redis']>,
  sources: ConfigSources,
  problems: Problems,
): string | undefined {
  const { passwordFile, passwordEnv } = redis
  if (passwordFile !== undefined && passwordEnv !== undefined) {
    problems.error('redis', 'Name the password by one of passwordFile and passwordEnv.')
  }
  if (passwordFile !== undefined) {
    return readNamedFile(passwordFile, 'redis.passwordFile', sources, problems)?.trim()
  }
  if (passwordEnv === undefined) return undefined
  const password = sources.environment[passwordEnv]
  if (password === undefined) {
    problems.error('redis.passwordEnv', `There is no environment variable '${passwordEnv}'.`)
  }
  return password
}

/** The keys that encrypt keys in Redis, hexadecimal; none when the configuration names none. */
export function readSealKeys(
  { keyFile, keyEnv }: NonNullable<WrittenConfig['certificates']>,
  sources: ConfigSources,
  problems: Problems,
): string[] {
  if (keyFile !== undefined && keyEnv !== undefined) {
    problems.error('certificates', 'Name the key by one of keyFile and keyEnv.')
    return []
  }
  const from = keyFile === undefined ? 'certificates.keyEnv' : 'certificates.keyFile'
  const text =
    keyFile === undefined
      ? sources.environment[keyEnv ?? '']
      : readNamedFile(keyFile, from, sources, problems)
  if (text === undefined) {
    if (keyEnv !== undefined) problems.error(from, `There is no environment variable '${keyEnv}'.`)
    return []
  }
  const lines = text.split(/\s+/).filter((line) => line !== '')
  const keys = lines.map((line) =>
    Buffer.from(line, /^[0-9a-f]{64}$/i.test(line) ? 'hex' : 'base64'),
  )
  if (keys.length === 0 || keys.some((key) => key.length !== 32)) {
    problems.error(
      from,
      "A key has 32 octets, in hexadecimal or base64. 'openssl rand -hex 32' makes one.",
    )
    return []
  }
  return keys.map((key) => key.toString('hex'))
}

/** The text of a file named in the configuration, or undefined with the problem reported. */
export function readNamedFile(
  name: string,
  path: string,
  sources: ConfigSources,
  problems: Problems,
): string | undefined {
  const file = resolve(sources.folder, name)
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    // What fs throws is an Error with a code.
    const { code } = error as NodeJS.ErrnoException
    const cure =
      code === 'ENOENT'
        ? 'There is no such file; relative paths start at the folder of the configuration.'
        : code === 'EACCES'
          ? 'This user may not read it. Check its owner and mode.'
          : `It cannot be read (${code}).`
    problems.error(path, `'${file}': ${cure}`)
    return undefined
  }
}

function readSecret(
  token: WrittenTokens[number],
  path: string,
  sources: ConfigSources,
  problems: Problems,
): string | undefined {
  const { secretFile, secretEnv } = token
  let secret: string | undefined
  let from: string
  if (secretFile !== undefined && secretEnv === undefined) {
    from = `${path}.secretFile`
    secret = readNamedFile(secretFile, from, sources, problems)?.trim()
  } else if (secretEnv !== undefined && secretFile === undefined) {
    from = `${path}.secretEnv`
    secret = sources.environment[secretEnv]?.trim()
    if (secret === undefined)
      problems.error(from, `There is no environment variable '${secretEnv}'.`)
  } else {
    problems.error(path, 'Name the secret by exactly one of secretFile and secretEnv.')
    return undefined
  }
  if (secret !== undefined && secret.length < MIN_SECRET_CHARACTERS) {
    problems.error(
      from,
      `The secret has ${secret.length} characters; at least ${MIN_SECRET_CHARACTERS} are needed. 'openssl rand -hex 32' makes a good one.`,
    )
    return undefined
  }
  // What a Bearer token can carry (RFC 6750 §2.1, and a little more).
  if (secret !== undefined && !/^[\x21-\x7e]{1,1024}$/.test(secret)) {
    problems.error(
      from,
      'The secret has characters that no token can have: use visible ASCII, no spaces.',
    )
    return undefined
  }
  return secret
}

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { connect, type DetailedPeerCertificate } from 'node:tls'
import { checkPair, daysLeft, readChain, readFacts } from '@larder/certs'
import { parseOptions, UsageError } from '../command.ts'

const CONNECT_LIMIT_MS = 10_000

interface Shown {
  readonly names: readonly string[]
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  readonly notBefore: string
  readonly notAfter: string
  readonly daysLeft: number
  readonly key: string
  readonly fingerprint: string
  readonly chain: readonly { readonly subject: string; readonly notAfter: string }[]
  /** null = the key was not looked at. */
  readonly keyMatches: boolean | null
  readonly problems: readonly string[]
}

export async function certShow(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(
    words,
    { key: { type: 'string' }, name: { type: 'string' }, json: { type: 'boolean' } },
    1,
  )
  const [what] = positionals
  if (what === undefined) throw new UsageError('Which one? Name a file, or HOST:PORT.')
  let shown: Shown
  try {
    const place = /^(\[[^\]]+\]|[^:/]+):(\d{1,5})$/.exec(what)
    shown =
      place === null
        ? ofFile(what, values.key)
        : await ofServer(place[1].replace(/^\[|\]$/g, ''), Number(place[2]), values.name)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
    return 1
  }
  process.stdout.write(values.json ? `${JSON.stringify(shown, null, 2)}\n` : table(shown))
  return shown.problems.length === 0 ? 0 : 1
}

function ofFile(file: string, keyFile: string | undefined): Shown {
  const certPem = readFile(file)
  const beside = file.replace(/\.(crt|pem|cer)$/, '.key')
  const keyPem =
    keyFile !== undefined
      ? readFile(keyFile)
      : hasKey(certPem)
        ? certPem
        : beside === file
          ? undefined
          : readIfThere(beside)
  return describe(certPem, file, keyPem, keyFile ?? (keyPem === certPem ? file : beside))
}

async function ofServer(host: string, port: number, name: string | undefined): Promise<Shown> {
  const socket = connect({ host, port, servername: name ?? host, rejectUnauthorized: false })
  socket.setTimeout(CONNECT_LIMIT_MS, () => socket.destroy(new Error('no answer in time')))
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', (error) =>
        reject(new Error(`${host}:${port} does not show a certificate: ${error.message}`)),
      )
    })
    const shown = describe(chainOf(socket.getPeerCertificate(true)), `${host}:${port}`)
    const wanted = name ?? host
    const leaf = socket.getPeerX509Certificate()
    const isFor = isIP(wanted) === 0 ? leaf?.checkHost(wanted) : leaf?.checkIP(wanted)
    const problems = [
      ...shown.problems,
      ...(isFor === undefined ? [`It is not for '${wanted}'.`] : []),
      ...(socket.authorized
        ? []
        : [`This machine does not trust it (${socket.authorizationError}).`]),
    ]
    return { ...shown, problems }
  } finally {
    socket.destroy()
  }
}

/** As the server sent it; the last of a whole chain names itself. */
function chainOf(leaf: DetailedPeerCertificate): string {
  const blocks: string[] = []
  const seen = new Set<DetailedPeerCertificate>()
  for (let one = leaf; one?.raw !== undefined && !seen.has(one); one = one.issuerCertificate) {
    seen.add(one)
    blocks.push(new X509Certificate(one.raw).toString())
  }
  return blocks.join('')
}

function describe(certPem: string, file: string, keyPem?: string | undefined, keyFile = ''): Shown {
  let chain: X509Certificate[]
  try {
    chain = readChain(certPem)
  } catch {
    throw new Error(`'${file}' holds no certificate in PEM form.`)
  }
  const [leaf] = chain
  const facts = readFacts(certPem)
  const left = daysLeft(facts, Date.now())
  const problems: string[] = []
  if (left < 0) problems.push('It has expired.')
  if (facts.notBeforeAt > Date.now()) problems.push('It is not valid yet.')
  for (let at = 0; at + 1 < chain.length; at++) {
    if (!isSignedBy(chain[at], chain[at + 1])) {
      problems.push(`Certificate ${at + 1} of the chain is not signed by certificate ${at + 2}.`)
    }
  }
  let keyMatches: boolean | null = null
  if (keyPem !== undefined) {
    keyMatches = belongs(leaf, keyPem)
    const check = checkPair({ certPem, keyPem }, file, keyFile)
    if (!keyMatches) problems.push(`The key in '${keyFile}' does not belong to it.`)
    else if (!check.ok && problems.length === 0) problems.push(check.message)
  }
  const { asymmetricKeyType, asymmetricKeyDetails: details } = leaf.publicKey
  const size =
    details?.namedCurve ??
    (details?.modulusLength === undefined ? '' : `${details.modulusLength} bits`)
  return {
    names: facts.names,
    subject: oneLine(leaf.subject),
    issuer: facts.issuer,
    serial: facts.serial,
    notBefore: new Date(facts.notBeforeAt).toISOString(),
    notAfter: new Date(facts.notAfterAt).toISOString(),
    daysLeft: left,
    key: `${asymmetricKeyType} ${size}`.trim(),
    fingerprint: facts.fingerprint,
    chain: chain.slice(1).map((one) => ({
      subject: oneLine(one.subject),
      notAfter: one.validToDate.toISOString(),
    })),
    keyMatches,
    problems,
  }
}

function table(shown: Shown): string {
  const rows: [string, string][] = [
    ['names', shown.names.join(', ') || 'none'],
    ['subject', shown.subject],
    ['issuer', shown.issuer],
    ['serial', shown.serial],
    ['valid', `${shown.notBefore.slice(0, 10)} to ${shown.notAfter.slice(0, 10)}`],
    ['days left', String(shown.daysLeft)],
    ['key', shown.key],
    ...shown.chain.map(({ subject, notAfter }, at): [string, string] => [
      at === 0 ? 'chain' : '',
      `${subject}, until ${notAfter.slice(0, 10)}`,
    ]),
    ['key matches', shown.keyMatches === null ? 'not looked at' : shown.keyMatches ? 'yes' : 'no'],
    ...shown.problems.map((problem): [string, string] => ['problem', problem]),
  ]
  return `${rows.map(([name, value]) => `${name.padEnd(14)}${value}`).join('\n')}\n`
}

function belongs(leaf: X509Certificate, keyPem: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(keyPem))
  } catch {
    // Not readable as a key: none that belongs to it, either.
    return false
  }
}

function isSignedBy(subject: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return subject.checkIssued(issuer) && subject.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function hasKey(pem: string): boolean {
  return /-----BEGIN (?:EC |RSA )?PRIVATE KEY-----/.test(pem)
}

function readFile(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    // What fs throws is an Error with a code.
    const { code } = error as NodeJS.ErrnoException
    throw new Error(`'${file}' cannot be read (${code}).`)
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // Looked for because it often stands there, not because it was named.
    return undefined
  }
}

function oneLine(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ')
}

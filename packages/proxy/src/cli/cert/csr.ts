import { existsSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { writePrivateFile } from '../../supervisor/write-private.ts'
import { parseOptions, UsageError } from '../command.ts'
import { certificateNames, stemOf } from './names.ts'

const KINDS = ['p256', 'p384', 'rsa2048', 'rsa4096'] as const
const MAX_NAMES = 100

export async function certCsr(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(
    words,
    {
      key: { type: 'string', default: 'p256' },
      out: { type: 'string' },
      force: { type: 'boolean' },
      json: { type: 'boolean' },
    },
    MAX_NAMES,
  )
  const names = certificateNames(positionals)
  const kind = KINDS.find((one) => one === values.key)
  if (kind === undefined) {
    throw new UsageError(`--key takes one of ${KINDS.join(', ')}, got '${values.key}'.`)
  }
  const stem = resolve(values.out ?? stemOf(names[0]))
  const [keyFile, requestFile] = [`${stem}.key`, `${stem}.csr`]
  // The key of a certificate that is served would be gone for good.
  if (existsSync(keyFile) && !values.force) {
    process.stderr.write(`'${keyFile}' is there already. Name another --out, or add --force.\n`)
    return 1
  }
  // Loaded when it is needed: the X.509 library makes every other command slower to start.
  const { createSigningRequest } = await import('@larder/certs/issue')
  const { requestPem, keyPem } = await createSigningRequest(names, kind)
  writePrivateFile(keyFile, keyPem)
  writeFileSync(requestFile, requestPem)
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ names, keyFile, requestFile }, null, 2)}\n`)
    return 0
  }
  process.stdout.write(`${keyFile}  the key: keep it, and keep it to yourself
${requestFile}  the request for ${names.join(', ')}: send it to the authority
`)
  return 0
}

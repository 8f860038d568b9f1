import { resolve } from 'node:path'
import { DevelopmentAuthority, readFacts } from '@larder/certs'
import { parseOptions } from '../command.ts'
import { certificateNames, stemOf } from './names.ts'

const MAX_NAMES = 100

export async function certDev(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(
    words,
    { folder: { type: 'string', default: '.larder' }, json: { type: 'boolean' } },
    MAX_NAMES,
  )
  const names = certificateNames(positionals)
  const authority = new DevelopmentAuthority(resolve(values.folder))
  const stem = stemOf(names[0])
  const { certPem } = await authority.certificateFor(stem, names)
  const [certFile, keyFile] = authority.filesOf(stem)
  const authorityFile = authority.certificateFile
  const { names: all, notAfterAt } = readFacts(certPem)
  const notAfter = new Date(notAfterAt).toISOString()
  if (values.json) {
    const report = { names: all, certFile, keyFile, authorityFile, notAfter }
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
    return 0
  }
  process.stdout.write(`For ${all.join(', ')}, until ${notAfter.slice(0, 10)}:

  certificate: { certFile: ${certFile}, keyFile: ${keyFile} }

Clients that are to accept it have to trust the development authority, on machines of
your own only: whoever has its key can pretend to be any site to them.

  curl      curl --cacert ${authorityFile} …
  Debian    sudo cp ${authorityFile} /usr/local/share/ca-certificates/larder-development.crt && sudo update-ca-certificates
  macOS     sudo security add-trusted-cert -d -k /Library/Keychains/System.keychain ${authorityFile}
  Windows   certutil -addstore Root ${authorityFile}
  Firefox   Settings, Certificates, Authorities, Import
  Node      NODE_EXTRA_CA_CERTS=${authorityFile}
`)
  return 0
}

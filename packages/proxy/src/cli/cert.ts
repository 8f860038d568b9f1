import { certCsr } from './cert/csr.ts'
import { certDev } from './cert/dev.ts'
import { certShow } from './cert/show.ts'
import { type Command, UsageError } from './command.ts'

const ORDERS: Readonly<Record<string, (words: readonly string[]) => Promise<number>>> = {
  dev: certDev,
  csr: certCsr,
  show: certShow,
}

export const certCommand: Command = {
  name: 'cert',
  summary: 'Make certificates for development, request real ones, look at any',
  help: `Usage: larder cert dev NAME... [--folder FOLDER] [--json]
       larder cert csr NAME... [--key p256|p384|rsa2048|rsa4096] [--out STEM] [--force]
       larder cert show FILE [--key FILE] [--json]
       larder cert show HOST:PORT [--name NAME] [--json]

dev   issues a certificate for the names by the development authority, which is made
      when there is none, and says how to trust it. Only for machines of your own.
csr   makes a key and a request to send to an authority: STEM.key (readable by its
      owner only) and STEM.csr. STEM is the first name without --out.
show  says for whom a certificate is, by whom, for how long, whether its chain
      verifies and whether the key beside it (or --key) belongs to it. Exit status 1
      when something is wrong with it.

  --folder FOLDER   where the development authority is; .larder without it
  --key KIND|FILE   kind of the new key, p256 without it; or the key to look at
  --name NAME       the name that is asked for (SNI); HOST without it
  --force           replace a key that is there already
  --json            as JSON

Examples: larder cert dev localhost '*.acme.test'
          larder cert csr www.acme.test acme.test --out acme
          larder cert show acme.crt
          larder cert show www.acme.test:443
`,
  async run([order, ...words]) {
    const run = order !== undefined && Object.hasOwn(ORDERS, order) ? ORDERS[order] : undefined
    if (run === undefined) {
      throw new UsageError(`Say what to do: ${Object.keys(ORDERS).join(', ')}.`)
    }
    return run(words)
  },
}

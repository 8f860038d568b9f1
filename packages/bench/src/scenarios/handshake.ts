import { writeCertificate } from '../certificate.ts'
import { writeDocsSection } from '../docs.ts'
import { type MeasuredHandshakes, measureHandshakes } from '../handshake.ts'
import { machine, median, table } from '../report.ts'
import { commandOf, inFolder, type Scenario, writeJson } from '../scenario.ts'

export const handshake: Scenario = {
  sentence: 'CPU time of TLS handshakes, full and resumed, beside bare Node',
  needs: ['taskset'],
  run: (options) =>
    inFolder(async (folder) => {
      await writeCertificate(folder)
      const results = await measureHandshakes(folder, options.quick)
      const text = `${table('CPU µs per handshake', results)}\n\n${rates(results)}`
      const facts = machine()
      console.log(`\n${text}\n\n${facts}`)
      writeJson(options, facts, results)
      if (options.docs) {
        const page = pageOf(text, facts, commandOf('handshake', options))
        writeDocsSection('performance.md', 'handshake', page)
      }
    }),
}

/** Rows are cases, columns peers. */
function rates(results: readonly MeasuredHandshakes[]): string {
  const peers = [...new Set(results.map(({ peer }) => peer))]
  const names = [...new Set(results.map(({ caseName }) => caseName))]
  const rows = names.map((name) => {
    const cells = peers.map((peer) => {
      const found = results.find((each) => each.caseName === name && each.peer === peer)
      return Math.round(median(found?.rates ?? [])).toString()
    })
    return `| ${name} | ${cells.join(' | ')} |`
  })
  const head = `| Handshakes per second | ${peers.join(' | ')} |\n|---|${peers.map(() => '---:|').join('')}`
  return `${head}\n${rows.join('\n')}`
}

function pageOf(text: string, facts: string, command: string): string {
  const day = new Date().toISOString().slice(0, 10)
  return `Written by \`${command}\` on ${day}. ${facts}.

CPU time of the server's processes for one connection that does nothing but its handshake (ECDSA P-256, AES-128-GCM):
median and range of five rounds that alternate between the servers, each of which has one core to itself. Bare Node is a
\`tls.createServer\` with the same suites and groups and one ticket key. The rates are those of one client process on the
other core, which is slower than the servers: they compare, they are no limit.

${text}`
}

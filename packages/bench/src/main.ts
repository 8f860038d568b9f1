import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { DevelopmentAuthority } from '@larder/certs'
import { measureHits } from './hit.ts'
import { measureIdle } from './idle.ts'
import { isInstalled } from './processes.ts'
import { machine, table } from './report.ts'
import { purge } from './scenarios/purge.ts'

const USAGE = `Usage: npm run bench -- hit [--quick] [--json FILE] [--docs]
       npm run bench -- idle [--quick]
       npm run bench -- purge [--quick] [--json FILE] [--docs]

hit    CPU time of one answer from the cache, beside bare Node, nginx and HAProxy
idle   memory of an idle TLS connection
purge  ${purge.sentence}

--quick  fewer requests and keys
--json   writes every figure to FILE
--docs   writes docs/performance.md

Needs taskset (util-linux) and h2load (nghttp2-client), and two cores with nothing else to do.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    docs: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const [scenario] = positionals
const needs = scenario === 'purge' ? purge.needs : ['taskset', 'h2load']
const missing = needs.filter((program) => !isInstalled(program))
if (values.help || (scenario !== 'hit' && scenario !== 'idle' && scenario !== 'purge')) {
  process.stdout.write(USAGE)
  process.exitCode = values.help ? 0 : 2
} else if (missing.length > 0) {
  console.error(`Not installed: ${missing.join(', ')}.`)
  process.exitCode = 1
} else if (scenario === 'purge') {
  const { quick, json, docs } = values
  await purge.run({ quick, large: false, json, docs })
} else {
  const folder = mkdtempSync(join(tmpdir(), 'larder-bench-'))
  try {
    await writeCertificate(folder)
    if (scenario === 'hit') await hit(folder)
    else await idle(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function hit(folder: string): Promise<void> {
  const results = await measureHits({ folder, quick: values.quick })
  const text = table(results)
  const facts = machine()
  console.log(
    `\nCPU µs per request of the server; × is in proportion to Larder.\n\n${text}\n\n${facts}`,
  )
  const measuredAt = new Date().toISOString()
  if (values.json !== undefined) {
    writeFileSync(values.json, JSON.stringify({ measuredAt, machine: facts, results }, null, 2))
  }
  if (values.docs) {
    const file = join(dirname(fileURLToPath(import.meta.url)), '../../../docs/performance.md')
    const quick = values.quick ? ' --quick' : ''
    writeFileSync(file, page(text, facts, measuredAt.slice(0, 10), quick))
  }
}

async function idle(folder: string): Promise<void> {
  const count = values.quick ? 1000 : 8000
  const bytes = await measureIdle(folder, count)
  console.log(`${(bytes / 1024).toFixed(1)} KiB for each of ${count} idle TLS connections`)
}

/** One for all servers. */
async function writeCertificate(folder: string): Promise<void> {
  const authority = new DevelopmentAuthority(join(folder, 'authority'))
  const { certPem, keyPem } = await authority.certificateFor('server', ['localhost'])
  writeFileSync(join(folder, 'server.crt'), certPem)
  writeFileSync(join(folder, 'server.key'), keyPem)
  writeFileSync(join(folder, 'server.pem'), certPem + keyPem)
}

function page(text: string, facts: string, day: string, quick: string): string {
  return `# Performance

Written by \`npm run bench -- hit${quick} --docs\` on ${day}. ${facts}.

CPU time of the server's processes, in user and kernel, for one answer from its cache, in microseconds: the median of
five rounds that alternate between the servers, and their range. × is in proportion to Larder. Each server has one core
to itself and one worker; the load (h2load) has another. Larder runs with its access log and metrics on, nginx and
HAProxy with their logs (configurations in \`packages/bench/config\`), bare Node with neither: it sends the same octets
from \`node:http\`, \`node:https\` and the stream interface of \`node:http2\`, and caches nothing.

${text}
`
}

import { parseArgs } from 'node:util'
import { isInstalled } from './processes.ts'
import type { Scenario } from './scenario.ts'
import { certificates } from './scenarios/certificates.ts'
import { handshake } from './scenarios/handshake.ts'
import { hit } from './scenarios/hit.ts'
import { idle } from './scenarios/idle.ts'
import { objects } from './scenarios/objects.ts'
import { purge } from './scenarios/purge.ts'
import { replay } from './scenarios/replay.ts'
import { tiers } from './scenarios/tiers.ts'

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  certificates,
  handshake,
  hit,
  idle,
  objects,
  purge,
  replay,
  tiers,
}

const USAGE = `Usage: npm run bench -- SCENARIO [--quick] [--large] [--json FILE] [--docs]

${Object.entries(SCENARIOS)
  .map(([name, { sentence }]) => `${name.padEnd(12)} ${sentence}`)
  .join('\n')}

--quick  fewer requests and objects, to see that it works
--large  also what takes very long
--json   writes every figure to FILE
--docs   writes the tables into docs/

What is measured on processes needs taskset (util-linux) and h2load (nghttp2-client), and two cores with nothing else to
do.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    json: { type: 'string' },
    docs: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const scenario = Object.hasOwn(SCENARIOS, positionals[0] ?? '') ? SCENARIOS[positionals[0]] : null
const missing = (scenario?.needs ?? []).filter((program) => !isInstalled(program))
if (values.help || scenario === null) {
  process.stdout.write(USAGE)
  process.exitCode = values.help ? 0 : 2
} else if (missing.length > 0) {
  console.error(`Not installed: ${missing.join(', ')}.`)
  process.exitCode = 1
} else {
  const { quick, large, json, docs } = values
  await scenario.run({ quick, large, json, docs })
}

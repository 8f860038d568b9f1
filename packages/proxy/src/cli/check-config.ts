import { loadConfigFile } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import { type Command, parseOptions, UsageError } from './command.ts'

export const checkConfigCommand: Command = {
  name: 'check-config',
  summary: 'Check a configuration and report everything that is wrong with it',
  help: `Usage: larder check-config FILE [--json]

Reads FILE with everything that it names (certificates, keys, secrets) and reports
all problems at once. Exit status 0: good; 1: problems; 2: wrong usage.

  --json   problems and warnings as JSON

Example: larder check-config /etc/larder/larder.yaml
`,
  async run(words) {
    const { values, positionals } = parseOptions(words, { json: { type: 'boolean' } }, 1)
    const [file] = positionals
    if (file === undefined) throw new UsageError('Which file? Name it.')
    const result = loadConfigFile(file)
    const problems = result.ok ? [] : result.problems
    if (values.json) {
      const report = { ok: result.ok, problems, warnings: result.warnings }
      process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
      return result.ok ? 0 : 1
    }
    for (const warning of result.warnings) {
      process.stderr.write(`warning: ${formatProblem(warning)}\n`)
    }
    if (!result.ok) {
      for (const problem of problems) process.stderr.write(`${formatProblem(problem)}\n`)
      process.stderr.write(`${counted(problems.length, 'problem')}.\n`)
      return 1
    }
    const { tenants, listen } = result.config
    const hosts = tenants.reduce((total, tenant) => total + tenant.hosts.length, 0)
    const listeners = listen.http.length + listen.https.length
    process.stdout.write(
      `ok: ${counted(tenants.length, 'tenant')}, ${counted(hosts, 'host')}, ${counted(listeners, 'listener')}\n`,
    )
    return 0
  },
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

import type { Stats } from '../admin/stats.ts'
import { callAdmin, DEFAULT_ADMIN } from './call-admin.ts'
import { type Command, parseOptions } from './command.ts'

export const statsCommand: Command = {
  name: 'stats',
  summary: 'Show what a running proxy has done',
  help: `Usage: larder stats [--admin URL] [--json]

Asks the admin API for requests, hits, latencies and memory. The token, where one
is needed, comes from the environment variable LARDER_TOKEN.

  --admin URL   the admin API, http://localhost:9090 without it
  --json        as JSON

Example: larder stats --json | jq .requestsByCache
`,
  async run(words) {
    const { values } = parseOptions(words, {
      admin: { type: 'string', default: DEFAULT_ADMIN },
      json: { type: 'boolean' },
    })
    const answer = await callAdmin({ admin: values.admin, path: '/api/v1/stats' })
    if (answer === undefined) return 1
    // Our own admin API; its type is the one that the route returns.
    const stats = answer as Partial<Stats>
    process.stdout.write(values.json ? `${JSON.stringify(stats, null, 2)}\n` : table(stats))
    return 0
  },
}

function table(stats: Partial<Stats>): string {
  const rows: [string, string][] = []
  if (stats.uptimeSeconds !== undefined) {
    rows.push(['up', `${Math.round(stats.uptimeSeconds)} s`])
    rows.push(['workers', `${stats.workersServing} of ${stats.workers} serving`])
  }
  rows.push(['requests', String(stats.requests ?? 0)])
  for (const [cache, count] of Object.entries(stats.requestsByCache ?? {})) {
    rows.push([`  ${cache}`, `${count} (${percent(count, stats.requests ?? 0)})`])
  }
  if (stats.responseBytes !== undefined) rows.push(['to clients', mebibytes(stats.responseBytes)])
  if (stats.originBytes !== undefined) rows.push(['from origins', mebibytes(stats.originBytes)])
  if (stats.memoryBytes !== undefined) {
    rows.push(['memory', `${mebibytes(stats.memoryBytes)} in ${stats.memoryObjects} responses`])
  }
  if (stats.purges != null) {
    const { state, number, pending, deadLetters } = stats.purges
    rows.push(['purges', `${state.kind}, number ${number}`])
    if (pending > 0) rows.push(['  for Redis', String(pending)])
    if (deadLetters > 0) rows.push(['  dead letters', String(deadLetters)])
  }
  if (stats.durationSeconds !== undefined) {
    const { p50, p99 } = stats.durationSeconds
    rows.push(['duration', `${milliseconds(p50)} median, ${milliseconds(p99)} at 99 %`])
  }
  return `${rows.map(([name, value]) => `${name.padEnd(16)}${value}`).join('\n')}\n`
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((part / whole) * 100).toFixed(1)} %`
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}

function milliseconds(seconds: number): string {
  return `${(seconds * 1000).toFixed(2)} ms`
}

import { writeDocsSection } from '../docs.ts'
import { microsecondsToAccept } from '../purge/accepting.ts'
import { measurePurges, type PurgeBench, type PurgeFigures } from '../purge/measure-purges.ts'
import type { Latencies } from '../purge/percentile.ts'
import { machine } from '../report.ts'
import { commandOf, inFolder, type Scenario, writeJson } from '../scenario.ts'

type Size = Omit<PurgeBench, 'folder'> & { readonly stored: number }

const FULL: Size = {
  machines: 4,
  workers: 2,
  purges: 500,
  requestsPerSecond: 500,
  sustained: { perSecond: 10_000, seconds: 30 },
  burst: 100_000,
  stored: 1_000_000,
}
export const TINY: Size = {
  machines: 2,
  workers: 1,
  purges: 20,
  requestsPerSecond: 50,
  sustained: { perSecond: 500, seconds: 1 },
  burst: 1_000,
  stored: 1_000,
}

export const purge: Scenario = {
  sentence: 'how soon a purge is in force on the last worker, and what many of them cost',
  needs: ['redis-server'],
  run: (options) =>
    inFolder(async (folder) => {
      const size = options.quick ? TINY : FULL
      const figures = await measurePurges({ ...size, folder })
      // The first lets a just-in-time compiler do its work.
      const [, ...accepting] = [1, 1, size.stored].map(microsecondsToAccept)
      const facts = machine()
      const text = purgeTable(size, figures, accepting)
      console.log(`\n${text}\n\n${facts}`)
      writeJson(options, facts, [figures, { microsecondsToAccept: accepting }])
      if (!options.docs) return
      const day = new Date().toISOString().slice(0, 10)
      const origin = `Written by \`${commandOf('purge', options)}\` on ${day}. ${facts}.`
      writeDocsSection('performance.md', 'purge', `${origin}\n\n${text}`)
    }),
}

export function purgeTable(
  size: Size,
  figures: PurgeFigures,
  accepting: readonly number[],
): string {
  const { idle, loaded, requestsBefore, sustained, burst } = figures
  const { perSecond, seconds } = size.sustained
  const load = `${size.requestsPerSecond} requests/s`
  const [before, most, after] = sustained.primaryMiB
  const rows: [what: string, latencies: Latencies][] = [
    ['A purge, nothing else to do', idle],
    [`A purge, beside ${load}`, loaded],
    [`A purge, beside ${load} and ${perSecond} purges/s`, sustained.purges],
    [`A request, beside a purge at a time`, requestsBefore.answers],
    [`A request, beside ${perSecond} purges/s`, sustained.requests.answers],
  ]
  const many = sustained.published
  const rate = Math.round(many.published / (many.tookMs / 1e3))
  const errors = [requestsBefore, sustained.requests].flatMap((each) => Object.entries(each.errors))
  const failed = errors.reduce((sum, [, count]) => sum + count, 0)
  return `${size.machines} machines with ${size.workers} workers each, one Redis, the load and the origin share the cores.

| ms | p50 | p99 | most |
|---|---:|---:|---:|
${rows.map(([what, { p50, p99, max }]) => `| ${[what, ms(p50), ms(p99), ms(max)].join(' | ')} |`).join('\n')}

| | |
|---|---|
| ${perSecond} purges/s for ${seconds} s | ${many.published} published at ${rate}/s, ${many.refused} refused; the last in force everywhere ${ms(sustained.behindMs)} ms later; ${sustained.late} late; ${failed} failed requests |
| Memory of the largest primary | ${before.toFixed(0)} MiB before, ${most.toFixed(0)} MiB at most, ${after.toFixed(0)} MiB 5 s after |
| ${burst.published.published} purges at once | in force everywhere after ${(burst.inForceMs / 1e3).toFixed(1)} s, ${burst.published.refused} refused; largest primary ${burst.primaryMiB.toFixed(0)} MiB |
| Accepting a purge by tag in one worker | ${accepting[0].toFixed(2)} µs with 1 stored response of that tag, ${accepting[1].toFixed(2)} µs with ${size.stored} |`
}

function ms(value: number): string {
  return value.toFixed(1)
}

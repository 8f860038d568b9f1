import {
  type CertificateFigures,
  measureCertificates,
} from '../certificates/measure-certificates.ts'
import { writeDocsSection } from '../docs.ts'
import { machine, median } from '../report.ts'
import { commandOf, inFolder, type Scenario, writeJson } from '../scenario.ts'

const COUNTS = [10, 1_000, 100_000]
const QUICK_COUNTS = [10, 200]

export const certificates: Scenario = {
  sentence: 'start, memory and look-ups with 10, 1,000 and 100,000 certificates in a folder',
  needs: ['taskset'],
  run: (options) =>
    inFolder(async (folder) => {
      const counts = options.quick ? QUICK_COUNTS : COUNTS
      const results = await measureCertificates(folder, counts, options.quick ? 1 : 5)
      const text = certificatesTable(results)
      const facts = machine()
      console.log(`\n${text}\n\n${facts}`)
      writeJson(options, facts, results)
      if (!options.docs) return
      const day = new Date().toISOString().slice(0, 10)
      const origin = `Written by \`${commandOf('certificates', options)}\` on ${day}. ${facts}.`
      writeDocsSection('performance.md', 'certificates', `${origin}\n\n${text}`)
    }),
}

/** Markdown: a row for each number of names. */
export function certificatesTable(results: readonly CertificateFigures[]): string {
  return [
    '| Names | Start, s | its CPU, s | Primary, MiB | with all names read | Worker, MiB | with all names read | Held, CPU µs | Unknown, CPU µs | First time, CPU µs |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...results.map((of) => {
      const memory = [...of.primaryBytes, ...of.workerBytes].map((bytes) =>
        (bytes / 1024 ** 2).toFixed(0),
      )
      const lookups = [of.heldMicros, of.unknownMicros].map((each) => median(each).toFixed(2))
      const first = median(of.firstMicros).toFixed(0)
      const start = [of.startMs / 1000, of.startCpuSeconds].map((seconds) => seconds.toFixed(2))
      const cells = [...start, ...memory, ...lookups, first]
      return `| ${of.names.toLocaleString('en')} | ${cells.join(' | ')} |`
    }),
  ].join('\n')
}

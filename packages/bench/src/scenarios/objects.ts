import { writeDocsSection } from '../docs.ts'
import { measureObjects, type ObjectFigures } from '../objects.ts'
import { machine, median } from '../report.ts'
import { commandOf, inFolder, type Scenario, writeJson } from '../scenario.ts'

const COUNTS = [10_000, 100_000, 200_000]
const LARGE_COUNTS = [...COUNTS, 1_000_000, 2_000_000]
const QUICK_COUNTS = [4_000]

export const objects: Scenario = {
  sentence:
    'memory and space for each of 200,000 objects (--large: of 2,000,000), and look-ups in them',
  needs: ['taskset'],
  run: (options) =>
    inFolder(async (folder) => {
      const counts = options.quick ? QUICK_COUNTS : options.large ? LARGE_COUNTS : COUNTS
      const results = await measureObjects({ folder, counts, rounds: options.quick ? 1 : 5 })
      const text = objectsTables(results)
      const facts = machine()
      console.log(`\n${text}\n\n${facts}`)
      writeJson(options, facts, results)
      if (!options.docs) return
      const command = commandOf('objects', options)
      const day = new Date().toISOString().slice(0, 10)
      writeDocsSection(
        'performance.md',
        'objects',
        `Written by \`${command}\` on ${day}. ${facts}.\n\n${text}`,
      )
    }),
}

/** Markdown: one table for each tier, a row for each number of objects. */
export function objectsTables(results: readonly ObjectFigures[]): string {
  const memory = results.filter(({ tier }) => tier === 'memory').map(memoryRow)
  const disk = results.filter(({ tier }) => tier === 'disk').map(diskRow)
  return [
    '| In memory | Heap, B | Buffers beside the body, B | Resident beside the body, B | CPU µs for a hit |',
    '|---:|---:|---:|---:|---:|',
    ...memory,
    '',
    '| On disk | Index, B | Metadata, B | Together, B | Resident, B | CPU µs for a hit |',
    '|---:|---:|---:|---:|---:|---:|',
    ...disk,
  ].join('\n')
}

function memoryRow(of: ObjectFigures): string {
  const [heap, buffers] = [of.heapBytes, of.bufferBytes].map((bytes) => bytes ?? Number.NaN)
  const cells = [heap, buffers - of.bodyBytes, of.residentBytes - of.bodyBytes].map(whole)
  return `| ${number(of.objects)} | ${cells.join(' | ')} | ${microseconds(of.hits)} |`
}

function diskRow(of: ObjectFigures): string {
  const together = of.indexBytes + of.metadataBytes
  const cells = [of.indexBytes, of.metadataBytes, together, of.residentBytes].map(whole)
  return `| ${number(of.objects)} | ${cells.join(' | ')} | ${microseconds(of.hits)} |`
}

function microseconds(rounds: readonly number[]): string {
  const [least, most] = [Math.min(...rounds), Math.max(...rounds)].map((one) => one.toFixed(1))
  return `**${median(rounds).toFixed(1)}** (${least}–${most})`
}

function whole(bytes: number): string {
  return Number.isNaN(bytes) ? '-' : bytes.toFixed(0)
}

function number(count: number): string {
  return count.toLocaleString('en')
}

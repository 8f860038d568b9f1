import { writeDocsSection } from '../docs.ts'
import { machine, table } from '../report.ts'
import { commandOf, inFolder, type Scenario, writeJson } from '../scenario.ts'
import { measureTiers } from '../tiers.ts'

export const tiers: Scenario = {
  sentence: 'CPU time of a hit in memory, in Redis and on disk, and of a miss that is stored',
  needs: ['taskset'],
  run: (options) =>
    inFolder(async (folder) => {
      const { hits, misses } = await measureTiers({ folder, quick: options.quick })
      const text = `${table('CPU µs', hits)}\n\n${table('CPU µs', misses)}`
      const facts = machine()
      console.log(`\n${text}\n\n${facts}`)
      writeJson(options, facts, [...hits, ...misses])
      if (!options.docs) return
      const command = commandOf('tiers', options)
      const day = new Date().toISOString().slice(0, 10)
      const origin = `Written by \`${command}\` on ${day}. ${facts}.`
      writeDocsSection('performance.md', 'tiers', `${origin}\n\n${text}`)
    }),
}

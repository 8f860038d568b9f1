import { writeDocsSection } from '../docs.ts'
import { type CompareOptions, comparePolicies, comparisonTable } from '../eviction/compare.ts'
import { commandOf, type Scenario, writeJson } from '../scenario.ts'

const FULL: CompareOptions = { seed: 1, requests: 4_000_000, objects: 400_000 }
const QUICK: CompareOptions = { seed: 1, requests: 200_000, objects: 20_000 }

export const replay: Scenario = {
  sentence: 'hit ratios of eviction policies on generated traces (offline, no proxy runs)',
  needs: [],
  async run(options) {
    const size = options.quick ? QUICK : FULL
    const results = comparePolicies(size, (name) => console.log(`done: ${name}`))
    const text = comparisonTable(results)
    console.log(`\nObject / byte hit ratio in percent.\n\n${text}`)
    writeJson(options, 'any', results)
    if (!options.docs) return
    const day = new Date().toISOString().slice(0, 10)
    const facts = `${size.requests.toLocaleString('en')} requests, ${size.objects.toLocaleString('en')} objects at the start, seed ${size.seed}`
    writeDocsSection(
      'decisions/eviction-policy.md',
      'replay',
      `Written by \`${commandOf('replay', options)}\` on ${day}: ${facts}.\n\n${text}`,
    )
  },
}

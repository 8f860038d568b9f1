import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { errorsPage, metricsPage, optionsPage, optionsSchema } from './reference-pages.ts'

const docs = join(dirname(fileURLToPath(import.meta.url)), '../docs')

t.test('the reference pages say what the tables in the code say (npm run docs)', async (t) => {
  t.equal(readFileSync(join(docs, 'options.md'), 'utf8'), optionsPage())
  t.equal(readFileSync(join(docs, 'options.schema.json'), 'utf8'), optionsSchema())
  t.equal(readFileSync(join(docs, 'metrics.md'), 'utf8'), metricsPage())
  t.equal(readFileSync(join(docs, 'errors.md'), 'utf8'), errorsPage())
})

t.test('every option has a meaning', async (t) => {
  const rows = optionsPage()
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  t.ok(rows.length > 80)
  // Whole sections speak for themselves by their rows.
  const silent = rows.filter((row) => / \| {2}\| (yes|restart) \|$/.test(row))
  t.same(silent, [])
})

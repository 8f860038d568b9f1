import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorsPage, metricsPage, optionsPage, optionsSchema } from './reference-pages.ts'

/** `npm run docs`: writes the pages that follow from tables in the code. A test fails when they are out of date. */

const docs = join(dirname(fileURLToPath(import.meta.url)), '../docs')
mkdirSync(docs, { recursive: true })
writeFileSync(join(docs, 'options.md'), optionsPage())
writeFileSync(join(docs, 'options.schema.json'), optionsSchema())
writeFileSync(join(docs, 'metrics.md'), metricsPage())
writeFileSync(join(docs, 'errors.md'), errorsPage())

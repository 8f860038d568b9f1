import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')

const CASES: [file: string, imported: string, allowed: boolean][] = [
  ['http/new.ts', './fields.ts', true],
  ['http/new.ts', '../caching/age.ts', false],
  ['caching/new.ts', '../http/fields.ts', true],
  ['caching/new.ts', '../storage/memory-tier.ts', false],
  ['storage/new.ts', '../caching/age.ts', true],
  ['storage/new.ts', '../pipeline/pipeline.ts', false],
  ['transport/new.ts', '../http/fields.ts', true],
  ['transport/h1/new.ts', '../../pipeline/pipeline.ts', false],
  ['transport/new.ts', '../config/config.ts', false],
  ['origin/new.ts', '../transport/exchange.ts', true],
  ['origin/new.ts', '../transport/h1/output.ts', false],
  ['pipeline/new.ts', '../storage/memory-tier.ts', true],
  ['pipeline/new.ts', '../worker/start-worker.ts', false],
  ['config/new.ts', '../supervisor/supervisor.ts', false],
  ['worker/new.ts', '../pipeline/pipeline.ts', true],
]

t.test('imports go one way, and the linter says so', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'larder-lint-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  copyFileSync(join(ROOT, 'biome.json'), join(folder, 'biome.json'))
  const files = CASES.map(([place, imported], index) => {
    const file = join(folder, 'packages/proxy/src', place.replace('new', `case-${index}`))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `import { it } from '${imported}'\n\nit()\n`)
    return file
  })
  const biome = join(ROOT, 'node_modules/.bin/biome')
  const words = ['lint', '--vcs-enabled=false', '--reporter=github', '--max-diagnostics=none']
  const { stdout, stderr } = spawnSync(biome, words, { cwd: folder, encoding: 'utf8' })
  const told = (stdout + stderr).split('\n').filter((line) => line.includes('noRestrictedImports'))
  for (const [index, [place, imported, allowed]] of CASES.entries()) {
    const isTold = told.some((line) => line.includes(basename(files[index])))
    t.equal(isTold, !allowed, `${place} imports ${imported}`)
  }
})

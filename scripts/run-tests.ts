import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Counts, TapResults } from './tap-results.ts'

/**
 * Types, lint, then every test; ends with `N passed, N failed` alone on the last line. Words after `npm test --`
 * choose test files by part of their path.
 */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const BIN = join(ROOT, 'node_modules/.bin')
const JOBS = 2
const FILE_TIMEOUT_SECONDS = 180
const TEST_FILES = [
  'packages/*/src/**/*.test.ts',
  'packages/*/test/**/*.test.ts',
  'test/**/*.test.ts',
  'scripts/**/*.test.ts',
]

const counts: Counts = { passed: 0, failed: 0 }
const wanted = process.argv.slice(2)

if (wanted.length === 0) {
  await check('types', 'tsc', ['--noEmit'])
  await check('lint and format', 'biome', ['check', '.'])
}
const files = globSync(TEST_FILES, { cwd: ROOT })
  .filter((file) => !file.includes('node_modules'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
if (files.length === 0) {
  console.log(`No test file matches ${wanted.join(', ')}.`)
  counts.failed++
} else {
  await runTap(files)
}
console.log(`${counts.passed} passed, ${counts.failed} failed`)
process.exitCode = counts.failed === 0 ? 0 : 1

/** One tool that passes or fails as a whole. */
async function check(name: string, command: string, words: readonly string[]): Promise<void> {
  const { status, output } = await run(command, words)
  if (status === 0) {
    counts.passed++
    console.log(`ok      ${name}`)
    return
  }
  counts.failed++
  console.log(`${output.trimEnd()}\nFAILED  ${name}`)
}

async function runTap(files: readonly string[]): Promise<void> {
  const options = ['--reporter=tap', '--disable-coverage', '--allow-empty-coverage']
  const limits = [`--jobs=${JOBS}`, `--timeout=${FILE_TIMEOUT_SECONDS}`]
  const reader = new TapResults(counts, (text) => console.log(text))
  const { status, output } = await run('tap', [...options, ...limits, ...files], (line) =>
    reader.line(line),
  )
  // A file that tap itself could not finish: nothing may look better than it is.
  const unread = files.length - reader.filesSeen
  if (unread > 0 || (status !== 0 && counts.failed === 0)) {
    counts.failed += Math.max(1, unread)
    console.log(output.split('\n').slice(-40).join('\n'))
    console.log(`FAILED  tap ended with status ${status}; ${unread} files gave no result`)
  }
}

function run(
  command: string,
  words: readonly string[],
  onLine: (line: string) => void = () => {},
): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(join(BIN, command), words, {
      cwd: ROOT,
      env: { ...process.env, PATH: `${BIN}:${process.env.PATH}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    let rest = ''
    const take = (text: string) => {
      // The end is what matters of a long output.
      output = (output + text).slice(-200_000)
    }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      take(text)
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
    })
    child.stderr.setEncoding('utf8').on('data', take)
    child.on('error', (error) => resolve({ status: 127, output: String(error) }))
    child.on('close', (status) => resolve({ status: status ?? 1, output }))
  })
}

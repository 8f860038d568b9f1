import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { isInstalled } from './processes.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))

/** Every scenario as its users run it, only shorter; its figures mean nothing, their shape is what counts. */
async function quickRun(t: Test, scenario: string) {
  const folder = mkdtempSync(join(tmpdir(), 'larder-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const json = join(folder, 'results.json')
  const words = [MAIN, scenario, '--quick', '--json', json]
  const output = await new Promise<string>((resolve, reject) => {
    const options = { timeout: 150_000 }
    execFile(process.execPath, words, options, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stderr}`)),
    )
  })
  const { machine, results } = JSON.parse(readFileSync(json, 'utf8'))
  t.type(machine, 'string')
  return { output, results }
}

const onProcesses = {
  skip: isInstalled('taskset') ? false : 'taskset is not installed',
  timeout: 170_000,
}

t.test('replay compares policies', { timeout: 60_000 }, async (t) => {
  const { output, results } = await quickRun(t, 'replay')
  t.match(output, /^\| Trace \| Cache \| LRU \| FIFO \| SIEVE \| S3-FIFO \|$/m)
  t.ok(results.every((one: { ratios: { objects: number } }) => one.ratios.objects < 1))
})

t.test('tiers measures hits and misses of each', onProcesses, async (t) => {
  const { output, results } = await quickRun(t, 'tiers')
  t.match(output, /^\| hit, 10 MiB \| - .*\d/m)
  t.match(output, /^\| miss and store, 1 KiB \|.*\d/m)
  for (const { caseName, peer, rounds } of results) {
    t.equal(rounds.length, 1, `${caseName}, ${peer}`)
    t.ok(rounds[0] >= 0)
  }
})

t.test('objects measures memory, space and look-ups', onProcesses, async (t) => {
  const { output, results } = await quickRun(t, 'objects')
  t.match(output, /^\| 4,000 \| \d+ \| -?\d+ \| -?\d+ \| \*\*[\d.]+\*\* \(/m)
  const [memory, disk] = results
  t.ok(memory.bufferBytes > memory.bodyBytes, 'bodies are in buffers')
  t.ok(disk.indexBytes > 40 && disk.indexBytes < 400, `${disk.indexBytes} bytes of index`)
  t.ok(disk.metadataBytes > 40 && disk.metadataBytes < 400, `${disk.metadataBytes} of metadata`)
})

t.test('certificates measures start, memory and look-ups', onProcesses, async (t) => {
  const { output, results } = await quickRun(t, 'certificates')
  t.match(
    output,
    /^\| 200 \| [\d.]+ \| [\d.]+ \| \d+ \| \d+ \| \d+ \| \d+ \| [\d.]+ \| [\d.]+ \| \d+ \|$/m,
  )
  t.same(
    results.map(({ names }: { names: number }) => names),
    [10, 200],
  )
})

t.test('handshake measures full and resumed ones', onProcesses, async (t) => {
  const { output, results } = await quickRun(t, 'handshake')
  t.match(output, /^\| full, TLS 1\.3, X25519 \| \*\*[\d.]+/m)
  t.match(output, /^\| resumed, TLS 1\.2 \| \d+ \| \d+ \|$/m)
  t.equal(results.length, 10)
})

t.test('an unknown scenario shows how it is used', async (t) => {
  const status = await new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'nothing'], (error, stdout) => {
      t.match(stdout, /Usage: .*SCENARIO/)
      resolve(error?.code)
    })
  })
  t.equal(status, 2)
})

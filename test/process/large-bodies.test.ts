import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  get,
  type LarderProcess,
  startLarder,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'
import { contentAt } from '../support/synthetic-content.ts'
import { startSyntheticOrigin } from '../support/synthetic-origin.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
/** `LARDER_LARGE_GIB=10` is what a film is like; by default what takes a few seconds. */
const LENGTH = Number(process.env.LARDER_LARGE_GIB ?? 0.5) * GIB
/** From here on memory is compared: buffers and heap have the size that they need. */
const WARM_BYTES = 128 * MIB
const SAMPLE_BYTES = 16 * MIB
const MAX_GROWTH_BYTES = 64 * MIB
/** Above what it began with, between two collections. */
const MAX_PEAK_BYTES = 160 * MIB
const MAX_MS = 60_000 + (LENGTH / GIB) * 120_000
const HOST = 'www.test'

/** Resident bytes of each process of the proxy. */
async function residentBytes(larder: LarderProcess): Promise<Map<number, number>> {
  const workers = await larder.workers()
  const pids = [larder.child.pid ?? 0, ...workers.map(({ pid }) => pid ?? 0)]
  return new Map(
    pids.map((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      return [pid, Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024]
    }),
  )
}

/**
 * What each process had resident, sample by sample. Memory goes up and down with the garbage collector: what is
 * compared is the middle of the samples at the beginning and of those at the end, and how far any is above the former.
 */
class Resident {
  readonly #samples = new Map<number, number[]>()

  add(sample: ReadonlyMap<number, number>): void {
    for (const [pid, bytes] of sample) {
      const samples = this.#samples.get(pid) ?? []
      samples.push(bytes)
      this.#samples.set(pid, samples)
    }
  }

  #each() {
    return [...this.#samples.values()].map((samples) => {
      const quarter = Math.max(1, Math.floor(samples.length / 4))
      const first = middle(samples.slice(0, quarter))
      return { first, last: middle(samples.slice(-quarter)), highest: Math.max(...samples) }
    })
  }

  get growthBytes(): number {
    return Math.max(...this.#each().map(({ first, last }) => last - first))
  }

  get peakBytes(): number {
    return Math.max(...this.#each().map(({ first, highest }) => highest - first))
  }

  toString(): string {
    const inMib = (bytes: number) => Math.round(bytes / MIB)
    return this.#each()
      .map(
        ({ first, last, highest }) =>
          `${inMib(first)} → ${inMib(last)}, at most ${inMib(highest)} MiB`,
      )
      .join('; ')
  }
}

function middle(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)]
}

/** Reads a body as it comes, compares every byte, and looks at memory every so often. */
function download(
  larder: LarderProcess,
  path: string,
  range: string | undefined,
  resident: Resident,
): Promise<{ status: number; bytes: number; good: boolean; complete: boolean }> {
  const headers = range === undefined ? { host: HOST } : { host: HOST, range }
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: larder.httpPort, path, headers, agent: false }
    const sent = request(options, async (response) => {
      let bytes = 0
      let good = true
      let sampledAt = WARM_BYTES
      try {
        for await (const chunk of response) {
          good &&= contentAt(bytes, chunk.length).equals(chunk)
          bytes += chunk.length
          if (bytes < sampledAt) continue
          sampledAt += SAMPLE_BYTES
          resident.add(await residentBytes(larder))
        }
      } catch {
        // Cut: what came is what counts.
      }
      resolve({ status: response.statusCode ?? 0, bytes, good, complete: response.complete })
    })
    sent.on('error', reject)
    sent.end()
  })
}

async function assertFlat(t: Test, range: string | undefined, status: number): Promise<void> {
  const origin = await startSyntheticOrigin(t)
  const larder = await startLarder(t, {
    tenants: [{ id: 'a', hosts: ['*'], origins: [{ url: origin.url }] }],
    disk: { path: join(temporaryFolder(t), 'cache'), maxSize: `${Math.ceil(LENGTH / GIB) * 5}GiB` },
  })
  const path = `/film.mp4?length=${LENGTH}`
  const startedAt = performance.now()
  const resident = new Resident()
  const answer = await download(larder, path, range, resident)
  t.comment(`${LENGTH / GIB} GiB in ${Math.round(performance.now() - startedAt)} ms`)
  t.same(answer, { status, bytes: LENGTH, good: true, complete: true })
  assertFlatMemory(t, resident)
  const isStored = async () => {
    const headers = { host: HOST, range: `bytes=${LENGTH - 10}-` }
    const { headers: fields } = await get(`http://127.0.0.1:${larder.httpPort}${path}`, { headers })
    return /hit/.test(String(fields['cache-status']))
  }
  await waitFor(isStored)
  const before = (await origin.stats()).ranges.length
  // Another worker may answer, which has done nothing so far.
  const again = new Resident()
  const stored = await download(larder, path, range, again)
  t.same(stored, { status, bytes: LENGTH, good: true, complete: true }, 'the same out of the store')
  assertFlatMemory(t, again)
  t.equal((await origin.stats()).ranges.length, before)
}

function assertFlatMemory(t: Test, resident: Resident): void {
  t.comment(`${resident}`)
  t.ok(resident.growthBytes <= MAX_GROWTH_BYTES, `resident memory is flat: ${resident}`)
  t.ok(resident.peakBytes <= MAX_PEAK_BYTES, `and never far above: ${resident}`)
}

t.test('a large body streams through, and to disk, in flat memory', { timeout: MAX_MS }, (t) =>
  assertFlat(t, undefined, 200),
)

t.test('the same in slices', { timeout: MAX_MS }, (t) => assertFlat(t, 'bytes=0-', 206))

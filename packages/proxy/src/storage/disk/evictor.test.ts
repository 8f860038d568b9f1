import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bodyOf, patterned, store } from '../shared-tier.contract.ts'
import { type DiskUnderTest, diskTier } from '../test-support/disk.ts'
import { recordFiles, spaceTaken } from '../test-support/disk-files.ts'
import { Evictor, type EvictorOptions } from './evictor.ts'

const MIB = 1024 * 1024

interface EvictionUnderTest extends DiskUnderTest {
  readonly evictor: Evictor
  put(key: string, body: Buffer): Promise<void>
  has(key: string): Promise<boolean>
}

/** A tier and its evictor, which is told of hits at once and runs when the test says so. */
function evicting(t: Test, maxSizeBytes: number, more: Partial<EvictorOptions> = {}) {
  let evictor: Evictor | null = null
  const subject = diskTier(t, {
    maxSizeBytes,
    onHit: (segment, offset) => evictor?.noteHits([segment, offset]),
  })
  const options = { path: subject.path, maxSizeBytes, minFreeBytes: 0, onTrouble: fail, ...more }
  evictor = new Evictor(options)
  t.teardown(() => evictor?.close())
  function fail(error: Error): void {
    t.fail(error.message)
  }
  const under: EvictionUnderTest = {
    ...subject,
    evictor,
    put: (key, body) =>
      store({ tier: subject.tier, settled: () => subject.tier.settled() }, { key }, body),
    has: async (key) => {
      const [stored] = await subject.tier.lookUp(key)
      return stored !== undefined
    },
  }
  return under
}

t.test('the limit holds between rounds as well, index included', async (t) => {
  const maxSizeBytes = 32 * MIB
  const { path, evictor, put } = evicting(t, maxSizeBytes)
  let most = 0
  for (let i = 0; i < 1000; i++) {
    const bytes = i % 100 === 0 ? 2 * MIB : 20_000 + i * 40
    await put(`${i}`, patterned(bytes, i))
    if (i % 4 === 3) await evictor.run()
    most = Math.max(most, spaceTaken(path))
  }
  t.ok(most <= maxSizeBytes * 1.01, `at most ${(most / maxSizeBytes).toFixed(3)} of the limit`)
  t.ok(most >= maxSizeBytes * 0.8, 'and the space is used')
  t.ok(evictor.counts.evictedSegments > 50)
  t.ok(evictor.counts.evictedFiles > 3)
})

t.test('the oldest goes, what was read lately stays, whatever its size', async (t) => {
  const { evictor, put, tier, has } = evicting(t, 32 * MIB)
  for (let i = 0; i < 3; i++) await put(`before ${i}`, patterned(900_000, 200 + i))
  await put('small', patterned(1000))
  await put('of blocks', patterned(100_000))
  await put('large', patterned(1_500_000))
  await put('cold', patterned(1001))
  for (let i = 0; i < 100; i++) {
    for (const key of ['small', 'of blocks', 'large']) {
      const [stored] = await tier.lookUp(key)
      await bodyOf(stored)
    }
    await put(`filler ${i}`, patterned(900_000, i))
    await evictor.run()
  }
  t.notOk(await has('cold'))
  t.notOk(await has('filler 0'))
  for (const [key, bytes] of [
    ['small', 1000],
    ['of blocks', 100_000],
    ['large', 1_500_000],
  ] as const) {
    const [stored] = await tier.lookUp(key)
    t.ok((await bodyOf(stored)).equals(patterned(bytes)), key)
  }
  t.ok(evictor.counts.reinsertedRecords >= 3)
})

t.test('with the segment that has the bytes of two URLs both become misses', async (t) => {
  const { evictor, put, path, tier, has } = evicting(t, 16 * MIB)
  const body = patterned(100_000)
  await put('first', body)
  for (let i = 0; i < 5; i++) await put(`between ${i}`, patterned(900_000, 100 + i))
  await put('second', body)
  for (let i = 0; (await has('first')) && i < 100; i++) {
    await put(`filler ${i}`, patterned(900_000, i))
    await evictor.run()
  }
  // This worker may have the file open still; another one has not.
  const other = diskTier(t, { path, maxSizeBytes: 16 * MIB })
  t.same(await other.tier.lookUp('second'), [])
  await put('third', body)
  const [stored] = await tier.lookUp('third')
  t.ok((await bodyOf(stored)).equals(body), 'stored again it is whole')
})

t.test('the file system keeps the room it is to keep', async (t) => {
  const { evictor, put, path, has } = evicting(t, 1024 * MIB, {
    minFreeBytes: Number.MAX_SAFE_INTEGER,
  })
  for (let i = 0; i < 12; i++) await put(`${i}`, patterned(2 * MIB, i))
  await evictor.run()
  t.notOk(await has('0'))
  t.equal(recordFiles(path, 'large').length, 2, 'all but what is being written')
})

t.test('the evictor makes no index: it would not be the workers’ own', async (t) => {
  const { evictor, put, path, tier } = evicting(t, 16 * MIB)
  await evictor.run()
  t.notOk(existsSync(join(path, 'index')))
  for (let i = 0; i < 30; i++) await put(`${i}`, patterned(900_000, i))
  await tier.close()
  rmSync(join(path, 'index'), { recursive: true })
  await evictor.run()
  t.notOk(existsSync(join(path, 'index')))
  t.ok(spaceTaken(path) <= 16 * MIB)
})

t.test('entries whose segment is gone leave the index, asked for or not', async (t) => {
  const { evictor, put, path } = evicting(t, 1024 * MIB)
  for (let i = 0; i < 50; i++) await put(`${i}`, patterned(1000, i))
  for (const file of recordFiles(path, 'segments')) rmSync(file)
  await evictor.run()
  const { DiskIndex } = await import('./disk-index.ts')
  const index = new DiskIndex(path, 1024 * MIB)
  t.teardown(() => index.close())
  t.same(index.scan(undefined, 100), [])
})

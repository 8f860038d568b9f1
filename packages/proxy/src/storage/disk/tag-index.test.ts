import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { patterned, store } from '../shared-tier.contract.ts'
import { type DiskUnderTest, diskTier, temporaryFolder } from '../test-support/disk.ts'
import { recordFiles } from '../test-support/disk-files.ts'
import { Evictor } from './evictor.ts'
import { tagHash } from './tag-hash.ts'

const MIB = 1024 * 1024

interface Subject extends DiskUnderTest {
  readonly evictor: Evictor
  put(path: string, tags: readonly string[], body?: Buffer): Promise<void>
  /** Stored responses that a purge of this tag would cover, and whether all was looked at. */
  covered(tag: string): Promise<number>
  /** Entries in the index, dead ones included. */
  entries(): Promise<number>
}

function subject(t: Test, maxSizeBytes: number): Subject {
  const path = temporaryFolder(t)
  const onTrouble = (error: Error) => t.fail(error.message)
  const evictor = new Evictor({ path, maxSizeBytes, minFreeBytes: 0, onTrouble })
  t.teardown(() => evictor.close())
  const onHit = (segment: number, offset: number) => evictor.noteHits([segment, offset])
  const disk = diskTier(t, { path, maxSizeBytes, onHit })
  return {
    ...disk,
    evictor,
    put: (path, tags, body = patterned(1000)) =>
      store(
        { tier: disk.tier, settled: () => disk.tier.settled() },
        { key: `shop\nhttp://shop.test${path}`, tags },
        body,
      ),
    async covered(tag) {
      await evictor.run()
      // Everything that the index leads to counts: whether it has the tag is what is tested.
      const { tally, complete } = await evictor.census(() => true, [tagHash('shop', tag)])
      t.ok(complete)
      return tally.bodies.size
    },
    async entries() {
      const { DiskIndex } = await import('./disk-index.ts')
      const index = new DiskIndex(disk.path, 1024 * MIB)
      try {
        return index.scanTags(undefined, 10_000).length
      } finally {
        await index.close()
      }
    },
  }
}

t.test('a tag leads to the records that have it, of its tenant alone', async (t) => {
  const { put, covered, evictor } = subject(t, 64 * MIB)
  for (let i = 0; i < 700; i++) await put(`/${i}`, ['all', i % 7 === 0 ? 'seventh' : 'other'])
  t.equal(await covered('all'), 700)
  t.equal(await covered('seventh'), 100)
  t.equal(await covered('nothing'), 0)
  const { tally } = await evictor.census(() => true, [tagHash('news', 'all')])
  t.equal(tally.bodies.size, 0)
})

t.test('of a key that was stored again only the newest tags count', async (t) => {
  const { put, covered, tier } = subject(t, 64 * MIB)
  await put('/page', ['v1', 'kept'])
  await put('/page', ['v2', 'kept'], patterned(2_000_000))
  t.equal(await covered('v1'), 0)
  t.equal(await covered('v2'), 1)
  t.equal(await covered('kept'), 1)
  const [stored] = await tier.lookUp('shop\nhttp://shop.test/page')
  await tier.freshen(stored, { ...stored.metadata, tags: ['v3'] })
  t.equal(await covered('v2'), 0)
  t.equal(await covered('v3'), 1)
  await tier.removeKey('shop\nhttp://shop.test/page')
  t.equal(await covered('v3'), 0)
})

t.test('entries go with their records, and move with those that are kept', async (t) => {
  const { put, covered, entries, tier, evictor } = subject(t, 24 * MIB)
  await put('/hot', ['hot'])
  await put('/hot-and-large', ['hot-and-large'], patterned(1_500_000))
  for (let i = 0; i < 150; i++) {
    for (const path of ['/hot', '/hot-and-large']) {
      const [stored] = await tier.lookUp(`shop\nhttp://shop.test${path}`)
      for (const read = stored.read(0, 1); (await read.next()) !== null; );
    }
    // The same key with another tag each time, as those do that carry a version.
    await put('/version', [`version-${i}`], patterned(500_000, i))
    await put(`/filler-${i}`, [`filler-${i}`, 'filler'], patterned(500_000, 1000 + i))
    await evictor.run()
  }
  t.ok(evictor.counts.evictedSegments > 50)
  t.equal(await covered('hot'), 1)
  t.equal(await covered('hot-and-large'), 1)
  t.equal(await covered('version-0'), 0)
  t.equal(await covered('filler-0'), 0)
  t.equal(await covered('filler-149'), 1)
  const left = await entries()
  t.ok(left < 3 * 48 + 10, `${left} entries of 452 that were made`)
})

t.test('entries whose file is gone are swept', async (t) => {
  const { put, entries, path, evictor } = subject(t, 64 * MIB)
  for (let i = 0; i < 50; i++) await put(`/${i}`, ['a', 'b'])
  t.equal(await entries(), 100)
  for (const file of recordFiles(path, 'segments')) rmSync(file)
  await evictor.run()
  t.equal(await entries(), 0)
})

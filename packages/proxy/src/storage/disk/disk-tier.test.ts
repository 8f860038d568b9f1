import t from 'tap'
import { bodyOf, patterned, store } from '../shared-tier.contract.ts'
import { diskTier } from '../test-support/disk.ts'
import { recordFiles, spaceTaken } from '../test-support/disk-files.ts'
import { metadata } from '../test-support/stored.ts'

const SMALL = 50_000
const LARGE = 3_000_000

t.test('what was stored outlives the process that stored it', async (t) => {
  const { path, ...first } = diskTier(t)
  for (const bytes of [0, SMALL, LARGE]) {
    await store(settling(first.tier), { key: `${bytes}` }, patterned(bytes))
  }
  await first.tier.close()
  const { tier } = diskTier(t, { path })
  for (const bytes of [0, SMALL, LARGE]) {
    const [stored] = await tier.lookUp(`${bytes}`)
    t.ok((await bodyOf(stored)).equals(patterned(bytes)), `${bytes} bytes`)
  }
})

t.test('what one worker stores or removes the others see', async (t) => {
  const { path, tier: one } = diskTier(t)
  const { tier: other } = diskTier(t, { path })
  t.same(await other.lookUp('k'), [])
  await store(settling(one), {}, 'hello')
  t.equal((await bodyOf((await other.lookUp('k'))[0])).toString(), 'hello')
  await other.removeKey('k')
  t.same(await one.lookUp('k'), [])
})

t.test('bytes stored under two URLs are kept once, and outlive either', async (t) => {
  const { path, tier } = diskTier(t)
  const body = patterned(900_000)
  for (const key of ['a', 'b', 'c']) await store(settling(tier), { key }, body)
  const segments = recordFiles(path, 'segments')
  t.ok(spaceTaken(path) < 2 * body.length, `${spaceTaken(path)} bytes in ${segments.length} files`)
  await tier.removeKey('a')
  t.same(await tier.lookUp('a'), [])
  for (const key of ['b', 'c']) {
    t.ok((await bodyOf((await tier.lookUp(key))[0])).equals(body), key)
  }
})

t.test('a body that is replaced or removed is read to its end', async (t) => {
  const { path, tier } = diskTier(t)
  for (const bytes of [900_000, LARGE]) {
    const key = `${bytes}`
    await store(settling(tier), { key }, patterned(bytes, 1))
    const [stored] = await tier.lookUp(key)
    const read = stored.read(0, bytes)
    const pieces = [await read.next()]
    await store(settling(tier), { key }, patterned(bytes, 2))
    await tier.removeKey(key)
    for (let piece = await read.next(); piece !== null; piece = await read.next()) {
      pieces.push(piece)
    }
    const whole = Buffer.concat(pieces.filter((piece) => piece !== null))
    t.ok(whole.equals(patterned(bytes, 1)), key)
  }
  t.same(recordFiles(path, 'large'), [], 'and its file is gone')
})

t.test('a removal makes commits of the same key void that are still under way', async (t) => {
  const { tier } = diskTier(t)
  await store(settling(tier), { key: 'other' }, 'other')
  for (const bytes of [10, SMALL, LARGE]) {
    const insertion = tier.insert(metadata({ key: 'k' }), undefined)
    insertion?.write(patterned(bytes))
    insertion?.commit()
    await tier.removeKey('k')
    await tier.settled()
    t.same(await tier.lookUp('k'), [], `${bytes} bytes`)
  }
})

t.test('freshening does not undo a newer response (RFC 9111 §4.3.4)', async (t) => {
  const { tier } = diskTier(t)
  await store(settling(tier), {}, 'old')
  const [old] = await tier.lookUp('k')
  await store(settling(tier), {}, 'new')
  await tier.freshen(old, metadata({ responseAt: 1 }))
  const [stored] = await tier.lookUp('k')
  t.equal((await bodyOf(stored)).toString(), 'new')
  t.not(stored.metadata.responseAt, 1)
})

t.test(
  'a body under way can be read as far as it has come, and abandoned leaves no file',
  async (t) => {
    const { path, tier } = diskTier(t)
    const body = patterned(LARGE)
    const insertion = tier.insert(metadata(), LARGE)
    insertion?.write(body)
    await until(() => insertion?.backing?.writtenBytes === LARGE)
    t.ok((await insertion?.backing?.read(1000, 200_000))?.equals(body.subarray(1000, 200_000)))
    insertion?.abandon()
    await tier.settled()
    await until(() => recordFiles(path, 'large').length === 0)
    t.same(await tier.lookUp('k'), [])
  },
)

function settling(tier: ReturnType<typeof diskTier>['tier']) {
  return { tier, settled: () => tier.settled() }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

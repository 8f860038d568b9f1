import { pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import t from 'tap'
import { bodyOf, patterned, store } from '../shared-tier.contract.ts'
import { type DiskUnderTest, diskTier } from '../test-support/disk.ts'
import { recordFiles } from '../test-support/disk-files.ts'
import { makeHang } from '../test-support/hanging-file.ts'

t.setTimeout(60_000)
const RETRY_MS = 50
const inThreadPool = promisify(pbkdf2)

async function put({ tier }: DiskUnderTest, key: string, body: Buffer): Promise<void> {
  await store({ tier, settled: () => tier.settled() }, { key }, body)
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

t.test('a look-up that the disk does not answer is a miss, and is counted', async (t) => {
  const first = diskTier(t)
  await put(first, 'k', patterned(50_000))
  await first.tier.close()
  const [segment] = recordFiles(first.path, 'segments')
  const { release } = makeHang(t, segment)
  const subject = diskTier(t, { path: first.path, retryMs: RETRY_MS })
  t.same(await subject.tier.lookUp('k'), [])
  t.equal(subject.tier.timeouts, 1)
  t.same(await subject.tier.lookUp('another'), [], 'the index still answers')
  t.same(subject.states, [], 'one is no reason to leave the disk alone')
  release()
  await until(async () => (await subject.tier.lookUp('k')).length === 1)
  t.ok((await bodyOf((await subject.tier.lookUp('k'))[0])).equals(patterned(50_000)))
})

t.test('several in a row turn the tier off until the disk answers', async (t) => {
  const first = diskTier(t)
  await put(first, 'k', patterned(50_000))
  await first.tier.close()
  const { release } = makeHang(t, recordFiles(first.path, 'segments')[0])
  const subject = diskTier(t, { path: first.path, retryMs: RETRY_MS })
  for (let i = 0; i < 5; i++) t.same(await subject.tier.lookUp('k'), [])
  t.match(subject.states[0], /^off the disk has not answered within 250 ms, 5 times in a row$/)
  t.equal(subject.tier.timeouts, 5)
  release()
  await until(async () => subject.tier.on && (await subject.tier.lookUp('k')).length === 1)
})

t.test('calls that hang leave threads of the pool for others', async (t) => {
  const small = { maxSizeBytes: 128 * 1024 * 1024 }
  const first = diskTier(t, small)
  const keys = Array.from({ length: 20 }, (_, i) => `${i}`)
  for (const [i, key] of keys.entries()) await put(first, key, patterned(200_000, i))
  await first.tier.close()
  const segments = recordFiles(first.path, 'segments')
  t.ok(segments.length >= 8, `${segments.length} segments for 4 threads`)
  const hanging = segments.map((segment) => makeHang(t, segment))
  const subject = diskTier(t, { ...small, path: first.path, retryMs: RETRY_MS })
  const looking = keys.map((key) => subject.tier.lookUp(key))
  // It would never come to an end if every thread waited for the disk.
  const derived = Promise.all([1, 2, 3].map(() => inThreadPool('a', 'b', 10, 16, 'sha1')))
  t.same(await Promise.all(looking), Array(keys.length).fill([]))
  t.equal((await derived).length, 3)
  t.notOk(subject.tier.on)
  t.equal((await inThreadPool('a', 'b', 10, 16, 'sha1')).length, 16, 'nor while the tier is off')
  for (const { release } of hanging) release()
  await until(async () => subject.tier.on && (await subject.tier.lookUp('7')).length === 1)
})

t.test('a body that the disk does not go on with is given up', async (t) => {
  const subject = diskTier(t, { retryMs: RETRY_MS })
  await put(subject, 'k', patterned(3_000_000))
  const [stored] = await subject.tier.lookUp('k')
  makeHang(t, recordFiles(subject.path, 'large')[0])
  // What is open is let go within seconds after its file has gone.
  const failure = new Promise<Error>((resolve) => {
    const again = (): void => void bodyOf(stored).then(again, resolve)
    again()
  })
  t.match((await failure).message, /the disk has not answered within 2000 ms/)
  t.ok(subject.tier.timeouts > 0)
})

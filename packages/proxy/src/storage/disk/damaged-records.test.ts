import { copyFileSync, statSync, truncateSync } from 'node:fs'
import t, { type Test } from 'tap'
import { bodyOf, patterned, store } from '../shared-tier.contract.ts'
import { type DiskUnderTest, diskTier } from '../test-support/disk.ts'
import { bytesAt, numbersFrom, overwrite, recordFiles } from '../test-support/disk-files.ts'

/** Small ones, some of several blocks, some in files of their own. */
function lengthOf(i: number): number {
  if (i % 40 === 0) return 1_100_000 + i
  return i % 10 === 0 ? 150_000 + i : 100 + i * 17
}

const COUNT = 400

async function filled(t: Test): Promise<DiskUnderTest> {
  const subject = diskTier(t, { maxSizeBytes: 512 * 1024 * 1024 })
  const settled = () => Promise.resolve()
  for (let i = 0; i < COUNT; i++) {
    await store({ tier: subject.tier, settled }, { key: `key ${i}` }, patterned(lengthOf(i), i))
    if (i % 50 === 0) await subject.tier.settled()
  }
  await subject.tier.settled()
  return subject
}

/** How many still come back, and how many with bytes that nobody stored. */
async function readAll({ tier }: DiskUnderTest): Promise<{ sound: number; wrong: number }> {
  const counts = { sound: 0, wrong: 0 }
  for (let i = 0; i < COUNT; i++) {
    const [stored] = await tier.lookUp(`key ${i}`)
    const body = stored === undefined ? null : await bodyOf(stored).catch(() => null)
    if (body === null) continue
    const isRight = stored.metadata.key === `key ${i}` && body.equals(patterned(lengthOf(i), i))
    counts[isRight ? 'sound' : 'wrong']++
  }
  return counts
}

/** What is damaged is a miss, counted, and gone for good; all else is untouched. */
async function expectMisses(t: Test, subject: DiskUnderTest): Promise<void> {
  const first = await readAll(subject)
  t.equal(first.wrong, 0, 'no wrong bytes')
  t.ok(first.sound > 0 && first.sound < COUNT, `${first.sound} of ${COUNT} are sound`)
  t.equal(subject.tier.corrupt, COUNT - first.sound)
  await subject.tier.settled()
  t.same(await readAll(subject), first)
  t.equal(subject.tier.corrupt, COUNT - first.sound, 'dropped at the first look')
  t.same(subject.states, [], 'the tier stays on')
}

t.test('flipped bits never come back as a body', async (t) => {
  const subject = await filled(t)
  const random = numbersFrom(1)
  const files = [...recordFiles(subject.path, 'segments'), ...recordFiles(subject.path, 'large')]
  for (let flip = 0; flip < 500; flip++) {
    const file = files[random(files.length)]
    const at = random(statSync(file).size)
    overwrite(file, at, Buffer.from([bytesAt(file, at, 1)[0] ^ (1 << random(8))]))
  }
  await expectMisses(t, subject)
})

t.test('swapped blocks never come back as a body', async (t) => {
  const subject = await filled(t)
  const random = numbersFrom(2)
  const files = [...recordFiles(subject.path, 'segments'), ...recordFiles(subject.path, 'large')]
  for (let swap = 0; swap < 60; swap++) {
    const [one, other] = [0, 1].map(() => {
      const file = files[random(files.length)]
      const at = random(Math.max(1, statSync(file).size - 4096))
      return { file, at, bytes: bytesAt(file, at, 4096) }
    })
    overwrite(one.file, one.at, other.bytes)
    overwrite(other.file, other.at, one.bytes)
  }
  await expectMisses(t, subject)
})

t.test('files that were cut or took the place of others never come back as a body', async (t) => {
  const subject = await filled(t)
  const segments = recordFiles(subject.path, 'segments')
  const large = recordFiles(subject.path, 'large')
  truncateSync(segments[0], Math.floor(statSync(segments[0]).size / 3))
  copyFileSync(segments[2], segments[1])
  truncateSync(large[0], 500_000)
  copyFileSync(large[2], large[1])
  await expectMisses(t, subject)
})

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bodyOf, patterned, store } from '../shared-tier.contract.ts'
import { type DiskUnderTest, diskTier, temporaryFolder } from '../test-support/disk.ts'
import { numbersFrom, overwrite } from '../test-support/disk-files.ts'
import { metadata } from '../test-support/stored.ts'

const RETRY_MS = 50

async function put(subject: DiskUnderTest, key: string, body: string | Buffer): Promise<void> {
  await store({ tier: subject.tier, settled: () => subject.tier.settled() }, { key }, body)
}

async function textOf({ tier }: DiskUnderTest, key: string): Promise<string | undefined> {
  const [stored] = await tier.lookUp(key)
  return stored === undefined ? undefined : (await bodyOf(stored)).toString()
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** It takes and gives responses again, and has said so in one line each. */
async function expectBack(t: Test, subject: DiskUnderTest): Promise<void> {
  await until(() => subject.tier.on)
  await put(subject, 'after', 'works')
  t.equal(await textOf(subject, 'after'), 'works')
  t.equal(subject.states.length, 2, subject.states.join(' · '))
  t.match(subject.states[0], /^off ./)
  t.equal(subject.states[1], 'on')
}

/** A small file system of the test's own. */
function smallFileSystem(t: Test, bytes = 24 * 1024 * 1024): string {
  const path = temporaryFolder(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path], { stdio: 'pipe' })
  t.teardown(() => execFileSync('umount', ['-l', path]))
  return path
}

function canMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'larder-mount-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', path], { stdio: 'pipe' })
    execFileSync('umount', [path])
    return true
  } catch {
    return false
  } finally {
    rmdirSync(path)
  }
}

const mounting = { skip: canMount() ? false : 'no file system can be mounted here' }

t.test('a full disk turns the tier off; it is back when there is room', mounting, async (t) => {
  const path = smallFileSystem(t)
  const ballast = join(path, 'ballast')
  const subject = diskTier(t, { path: join(path, 'cache'), retryMs: RETRY_MS })
  await put(subject, 'before', 'hello')
  await put(subject, 'removed', 'hello')
  writeFileSync(ballast, Buffer.alloc(12 * 1024 * 1024))
  for (let i = 0; subject.tier.on && i < 100; i++) await put(subject, `${i}`, patterned(900_000, i))
  t.notOk(subject.tier.on)
  t.equal(subject.tier.insert(metadata(), 5), null, 'declines')
  await subject.tier.removeKey('removed')
  t.equal(await textOf(subject, 'removed'), undefined)
  // Some probes long: a full disk has lost nothing.
  for (const endsAt = performance.now() + 10 * RETRY_MS; performance.now() < endsAt; ) {
    if ((await textOf(subject, 'before')) !== 'hello') t.fail('what is stored was not found')
  }
  rmSync(ballast)
  await expectBack(t, subject)
  t.equal(await textOf(subject, 'before'), 'hello')
})

t.test(
  'a disk that is full of large bodies gives up the one that does not fit',
  mounting,
  async (t) => {
    const path = smallFileSystem(t)
    const subject = diskTier(t, { path, retryMs: RETRY_MS })
    await put(subject, 'whole', patterned(3_000_000))
    await put(subject, 'too large', patterned(30_000_000))
    t.same(await subject.tier.lookUp('too large'), [])
    t.ok((await bodyOf((await subject.tier.lookUp('whole'))[0])).equals(patterned(3_000_000)))
    await expectBack(t, subject)
  },
)

t.test(
  'a file system that becomes read-only turns the tier off until it is not',
  mounting,
  async (t) => {
    const path = smallFileSystem(t)
    const subject = diskTier(t, { path, retryMs: RETRY_MS })
    await put(subject, 'before', 'hello')
    // The files that are open for writing would keep it from becoming read-only.
    await subject.tier.close()
    execFileSync('mount', ['-o', 'remount,ro', path])
    const again = diskTier(t, { path, retryMs: RETRY_MS })
    t.same(await again.tier.lookUp('before'), [])
    await put(again, 'k', 'x')
    t.notOk(again.tier.on)
    execFileSync('mount', ['-o', 'remount,rw', path])
    await expectBack(t, again)
    t.equal(await textOf(again, 'before'), 'hello')
  },
)

t.test('a removal while the index cannot be written is made up for', mounting, async (t) => {
  const path = smallFileSystem(t)
  const first = diskTier(t, { path, retryMs: RETRY_MS })
  await put(first, 'removed', 'hello')
  await first.tier.close()
  execFileSync('mount', ['-o', 'remount,ro', path])
  const subject = diskTier(t, { path, retryMs: RETRY_MS })
  await subject.tier.removeKey('removed')
  execFileSync('mount', ['-o', 'remount,rw', path])
  await expectBack(t, subject)
  t.equal(await textOf(subject, 'removed'), undefined)
})

t.test('a folder that cannot be made turns the tier off until it can', async (t) => {
  const path = join(temporaryFolder(t), 'in the way')
  writeFileSync(path, '')
  const subject = diskTier(t, { path, retryMs: RETRY_MS })
  t.same(await subject.tier.lookUp('k'), [])
  t.equal(subject.tier.insert(metadata(), undefined), null)
  rmSync(path)
  await expectBack(t, subject)
})

t.test('a folder removed while it is used is made anew', async (t) => {
  const subject = diskTier(t, { retryMs: RETRY_MS })
  await put(subject, 'before', patterned(100_000))
  await put(subject, 'large', patterned(3_000_000))
  rmSync(subject.path, { recursive: true })
  await until(() => !subject.tier.on)
  await expectBack(t, subject)
  t.equal(await textOf(subject, 'before'), undefined)
})

t.test('segments removed while they are used are misses, and new ones are written', async (t) => {
  const subject = diskTier(t, { retryMs: RETRY_MS })
  await put(subject, 'before', 'hello')
  renameSync(join(subject.path, 'segments'), join(subject.path, 'elsewhere'))
  rmSync(join(subject.path, 'elsewhere'), { recursive: true })
  await put(subject, 'after', 'works')
  t.equal(await textOf(subject, 'after'), 'works')
  t.same(subject.states, [])
})

const unprivileged = { skip: process.getuid?.() === 0 ? 'root may do everything' : false }
t.test('a folder without permission turns the tier off until there is', unprivileged, async (t) => {
  const subject = diskTier(t, { retryMs: RETRY_MS })
  chmodSync(subject.path, 0)
  t.same(await subject.tier.lookUp('k'), [])
  chmodSync(subject.path, 0o700)
  await expectBack(t, subject)
})

t.test('a damaged index is set aside, and the tier starts empty', async (t) => {
  const random = numbersFrom(3)
  const noise = (bytes: number) => Buffer.from(Array.from({ length: bytes }, () => random(256)))
  const damages: Record<string, (file: string) => void> = {
    'overwritten from the start': (file) => overwrite(file, 0, noise(20_000)),
    'cut in the middle': (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
    'cut to nearly nothing': (file) => truncateSync(file, 50),
    'another file': (file) => writeFileSync(file, 'hello\n'.repeat(10_000)),
    'noise in the pages': (file) => overwrite(file, 8192, noise(statSync(file).size - 8192)),
    'empty pages': (file) => overwrite(file, 8192, Buffer.alloc(statSync(file).size - 8192)),
  }
  for (const [name, damage] of Object.entries(damages)) {
    await t.test(name, async (t) => {
      const first = diskTier(t)
      for (let i = 0; i < 300; i++) first.tier.insert(metadata({ key: `${i}` }), 0)?.commit()
      await first.tier.close()
      damage(join(first.path, 'index', 'data.mdb'))
      const subject = diskTier(t, { path: first.path, retryMs: RETRY_MS })
      for (let i = 0; subject.tier.on; i++) await put(subject, `new ${i}`, 'x')
      await expectBack(t, subject)
      t.match(subject.states[0], /damaged/)
      t.ok(statSync(join(first.path, 'index-unusable')).isDirectory())
    })
  }
})

t.test('a new index does not give out numbers that segments have', async (t) => {
  const first = diskTier(t)
  await put(first, 'before', 'hello')
  await first.tier.close()
  rmSync(join(first.path, 'index'), { recursive: true })
  mkdirSync(join(first.path, 'index'))
  const subject = diskTier(t, { path: first.path })
  await put(subject, 'after', 'works')
  t.equal(await textOf(subject, 'after'), 'works')
  t.equal(await textOf(subject, 'before'), undefined)
})

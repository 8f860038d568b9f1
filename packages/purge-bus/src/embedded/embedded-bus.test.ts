import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { purgeBusContract } from '../purge-bus.contract.ts'
import {
  type BusUnderTest,
  Heard,
  resolve,
  stored,
  tagPurge,
  temporaryFolder,
  waitFor,
} from '../test-support/bus-under-test.ts'
import { embeddedBus } from './embedded-bus.ts'

async function open(t: Test, sketch: { folder: string }): Promise<BusUnderTest> {
  const heard = new Heard()
  const bus = await embeddedBus({ machine: 'here', table: { resolve }, events: heard, ...sketch })
  await bus.start()
  t.teardown(() => bus.stop().catch(() => {}))
  return { bus, heard }
}

purgeBusContract('embedded', { skip: false, timeout: 60_000 }, async () => open)

/** A folder as a process leaves it that is killed after these purges. */
async function killedAfter(t: Test, tags: readonly string[]): Promise<string> {
  const folder = temporaryFolder(t)
  const { bus } = await open(t, { folder })
  for (const tag of tags) await bus.publish(tagPurge(tag))
  const left = temporaryFolder(t)
  cpSync(folder, left, { recursive: true })
  return left
}

function journals(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.journal'))
}

t.test('killed without a word: every purge that was answered is known', async (t) => {
  const folder = await killedAfter(t, ['a', 'b', 'c'])
  const { bus, heard } = await open(t, { folder })
  for (const tag of ['a', 'b', 'c']) {
    t.equal(bus.table.validity(stored(bus.table.number - 3, tag)), 'purged', tag)
  }
  t.same(heard.floors, [])
})

t.test(
  'a journal that was cut at any byte gives what was whole, and nothing is trusted less',
  async (t) => {
    const tags = ['a', 'b', 'c']
    const folder = await killedAfter(t, tags)
    const name = journals(folder).at(-1) ?? ''
    const bytes = readFileSync(join(folder, name))
    const whole = await open(t, { folder })
    const before = whole.bus.table.number - tags.length
    t.ok(bytes.length > 100)
    for (let length = 0; length < bytes.length; length++) {
      const cut = join(temporaryFolder(t), 'cut')
      cpSync(folder, cut, { recursive: true })
      for (const each of journals(cut)) rmSync(join(cut, each))
      writeFileSync(join(cut, name), bytes.subarray(0, length))
      rmSync(join(cut, 'table.snapshot'))
      cpSync(join(folder, 'table.snapshot'), join(cut, 'table.snapshot'))
      const heard = new Heard()
      const bus = await embeddedBus({
        machine: 'm',
        folder: cut,
        table: { resolve },
        events: heard,
      })
      const known = tags.filter((tag) => bus.table.validity(stored(before, tag)) === 'purged')
      const isPrefix = known.every((tag, index) => tag === tags[index])
      if (!isPrefix || heard.floors.length > 0) t.fail(`cut at ${length}: ${known}`)
      const next = await bus.publish(tagPurge('next'))
      if ((next.number ?? 0) <= before + tags.length) t.fail(`cut at ${length}: ${next.number}`)
      await bus.stop()
    }
    t.pass(`${bytes.length} cuts`)
  },
)

t.test(
  'a journal that is damaged in the middle: everything counts as purged, and it says so',
  async (t) => {
    const folder = await killedAfter(t, ['a', 'b', 'c'])
    const path = join(folder, journals(folder).at(-1) ?? '')
    const bytes = readFileSync(path)
    bytes[30] ^= 1
    writeFileSync(path, bytes)
    const { bus, heard } = await open(t, { folder })
    t.equal(heard.floors.length, 1)
    t.match(heard.errors[0].reason, /journal purges-\d+.journal is damaged.*everything/)
    t.equal(bus.table.validity(stored(Date.now() - 60_000, 'z')), 'purged')
    const { number } = await bus.publish(tagPurge('d'))
    await bus.stop()
    const again = await open(t, { folder })
    t.same(again.heard.floors, [], 'once')
    t.equal(again.bus.table.validity(stored((number ?? 0) - 1, 'd')), 'purged')
  },
)

t.test('a snapshot that is damaged or gone: everything counts as purged', async (t) => {
  for (const harm of [(path: string) => writeFileSync(path, 'x'), (path: string) => rmSync(path)]) {
    const folder = temporaryFolder(t)
    const first = await open(t, { folder })
    await first.bus.publish(tagPurge('a'))
    const highest = first.bus.table.number
    await first.bus.stop()
    harm(join(folder, 'table.snapshot'))
    const { bus, heard } = await open(t, { folder })
    t.equal(heard.floors.length, 1)
    t.equal(bus.table.validity(stored(highest, 'z')), 'purged')
  }
})

t.test('an empty folder: what is stored carries lower numbers than any it will give', async (t) => {
  const first = await open(t, { folder: temporaryFolder(t) })
  const { number } = await first.bus.publish(tagPurge('a'))
  const second = await open(t, { folder: temporaryFolder(t) })
  t.equal(second.bus.table.validity(stored((number ?? 0) - 1, 'z')), 'purged')
})

t.test('the journal does not grow for ever, and what it held stays known', async (t) => {
  const folder = temporaryFolder(t)
  const first = await open(t, { folder })
  const before = first.bus.table.number
  for (let round = 0; round < 30; round++) {
    const tags = Array.from({ length: 1_000 }, (_, i) => `t-${round}-${i}`)
    await first.bus.publish({ type: 'tag', tenant: 'acme', tags, soft: false })
    // As many purges as would fill a journal of their own.
    const many = Array.from({ length: 1_000 }, () => first.bus.publish(tagPurge('same')))
    await Promise.all(many)
  }
  t.ok(journals(folder).length <= 3, journals(folder).join(' '))
  await first.bus.stop()
  t.ok(journals(folder).length <= 2)
  const second = await open(t, { folder })
  for (const round of [0, 15, 29]) {
    t.equal(second.bus.table.validity(stored(before, `t-${round}-999`)), 'purged')
  }
})

/** No file of this process may grow beyond this; undefined = as far as it likes. */
function limitFiles(maxBytes: number | undefined): void {
  const limit = `--fsize=${maxBytes ?? 'unlimited'}:unlimited`
  const { status, stderr } = spawnSync('prlimit', ['--pid', `${process.pid}`, limit])
  if (status !== 0) throw new Error(`prlimit: ${stderr}`)
}

const withoutPrlimit = spawnSync('prlimit', ['--version']).status !== 0 && 'prlimit is not there'

t.test(
  'a journal that cannot be written: the purge is in force, the publisher told, and it is made up for',
  { skip: withoutPrlimit },
  async (t) => {
    const folder = temporaryFolder(t)
    const { bus, heard } = await open(t, { folder })
    const before = bus.table.number
    await bus.publish(tagPurge('a'))
    const ignore = () => {}
    process.on('SIGXFSZ', ignore)
    t.teardown(() => {
      limitFiles(undefined)
      process.off('SIGXFSZ', ignore)
    })
    limitFiles(statSync(join(folder, journals(folder).at(-1) ?? '')).size + 10)
    await t.rejects(bus.publish(tagPurge('b')), { code: 'PURGE_NOT_KEPT' })
    t.equal(bus.table.validity(stored(before, 'b')), 'purged')
    t.same(heard.tags, ['a', 'b'])
    t.match(heard.errors[0].reason, /cannot be written.*EFBIG/)
    limitFiles(undefined)
    const left = join(temporaryFolder(t), 'left')
    await waitFor(async () => {
      rmSync(left, { recursive: true, force: true })
      cpSync(folder, left, { recursive: true })
      const events = new Heard()
      const it = await embeddedBus({ machine: 'm', folder: left, table: { resolve }, events })
      await it.start()
      const isKnown = it.table.validity(stored(before, 'b')) === 'purged'
      await it.stop()
      return isKnown && events.floors.length === 0
    })
    await bus.publish(tagPurge('c'))
    t.same(heard.tags, ['a', 'b', 'c'])
  },
)

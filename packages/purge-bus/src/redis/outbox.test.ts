import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { DeadLetter } from '../purge-bus.ts'
import { tagPurge, temporaryFolder } from '../test-support/bus-under-test.ts'
import { Outbox } from './outbox.ts'

function letter(id: string, publishedAt = 0): DeadLetter {
  return { id, message: tagPurge(id), publishedAt }
}

const ids = (letters: readonly DeadLetter[]) => letters.map(({ id }) => id)

t.test('what waits, and what was put aside, is there again after a restart', async (t) => {
  const path = join(temporaryFolder(t), 'outbox.journal')
  const first = await Outbox.open(path, 100, 100)
  await Promise.all(['a', 'b', 'c', 'd'].map((id) => first.add(letter(id))))
  await first.done(['b'])
  await first.bury(['a'])
  await first.close()
  const second = await Outbox.open(path, 100, 100)
  t.same([ids(second.pending), ids(second.dead)], [['c', 'd'], ['a']])
  t.equal(await second.revive(['a', 'unknown']), 1)
  await second.close()
  const third = await Outbox.open(path, 100, 100)
  t.same([ids(third.pending), ids(third.dead)], [['c', 'd', 'a'], []])
  await third.close()
})

t.test('cut at any byte, it has what was answered before', async (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'outbox.journal')
  const whole = await Outbox.open(path, 100, 100)
  for (const id of ['a', 'b', 'c']) await whole.add(letter(id))
  await whole.close()
  const bytes = readFileSync(path)
  t.ok(bytes.length > 100)
  for (let length = 0; length <= bytes.length; length++) {
    const cut = join(folder, 'cut.journal')
    writeFileSync(cut, bytes.subarray(0, length))
    const outbox = await Outbox.open(cut, 100, 100)
    const known = ids(outbox.pending)
    if (!'abc'.startsWith(known.join(''))) t.fail(`cut at ${length}: ${known}`)
    await outbox.add(letter('z'))
    await outbox.close()
    const again = await Outbox.open(cut, 100, 100)
    if (ids(again.pending).join('') !== `${known.join('')}z`) t.fail(`cut at ${length}: again`)
    await again.close()
  }
})

t.test('both lists are bounded; the oldest are put aside first', async (t) => {
  const path = join(temporaryFolder(t), 'outbox.journal')
  const outbox = await Outbox.open(path, 2, 2)
  for (const id of ['a', 'b', 'c', 'd']) {
    t.ok(outbox.hasRoom)
    await outbox.add(letter(id, id.charCodeAt(0)))
  }
  t.notOk(outbox.hasRoom)
  t.same(
    [ids(outbox.pending), ids(outbox.dead)],
    [
      ['c', 'd'],
      ['a', 'b'],
    ],
  )
  t.equal(outbox.expire(1_000), 0, 'no room for more dead letters')
  await outbox.close()
})

t.test(
  'the file does not grow for ever, and what comes while it is replaced is in it',
  async (t) => {
    const path = join(temporaryFolder(t), 'outbox.journal')
    const outbox = await Outbox.open(path, 100_000, 10)
    const many = Array.from({ length: 20_000 }, (_, i) => letter(`x-${i}`))
    await Promise.all(many.map((each) => outbox.add(each)))
    t.ok(readFileSync(path).length > 1024 * 1024)
    const replaced = outbox.done(ids(many))
    await Promise.all([replaced, ...['a', 'b'].map((id) => outbox.add(letter(id)))])
    await outbox.done(['a'])
    await outbox.close()
    const again = await Outbox.open(path, 100, 10)
    t.same(ids(again.pending), ['b'])
    await again.close()
    t.ok(readFileSync(path).length < 1_000)
  },
)

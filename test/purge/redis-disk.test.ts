import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stored, tagPurge } from '../../packages/purge-bus/src/test-support/bus-under-test.ts'
import { temporaryFolder } from '../support/larder-process.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { startBus } from './redis-buses.ts'

const options = { skip: withoutRedis, timeout: 90_000 }

const HARM: [name: string, harm: (folder: string) => void][] = [
  ['the snapshot is damaged', (folder) => writeFileSync(join(folder, 'table.snapshot'), 'x')],
  [
    'the snapshot and what came before it are gone',
    (folder) => {
      rmSync(join(folder, 'table.snapshot'))
      rmSync(join(folder, 'purges-000000000001.journal'))
    },
  ],
  [
    'a journal is damaged',
    (folder) => {
      const [first] = readdirSync(folder).filter((name) => name.startsWith('purges-'))
      const bytes = readFileSync(join(folder, first))
      bytes[20] ^= 1
      writeFileSync(join(folder, first), bytes)
    },
  ],
]

for (const [name, harm] of HARM) {
  t.test(`${name}: it says so, and reads the log again`, options, async (t) => {
    const server = await startRedis(t)
    const folder = temporaryFolder(t)
    const at = { redis: { url: server.url }, folder }
    const first = await startBus(t, at)
    // One after the other: several records in the journal.
    for (let i = 0; i < 5; i++) await first.bus.publish(tagPurge(`t-${i}`))
    await first.bus.stop()
    harm(folder)
    const second = await startBus(t, at)
    t.match(second.heard.errors[0].reason, /read again from its beginning/)
    t.same(second.heard.numbers, [1, 2, 3, 4, 5])
    t.same(second.heard.floors, [])
    t.equal(second.bus.table.validity(stored(4, 't-4')), 'purged')
    t.equal(second.bus.table.validity(stored(4, 'other')), 'valid')
    t.equal((await second.bus.publish(tagPurge('next'))).number, 6)
    await second.bus.stop()
    const third = await startBus(t, at)
    t.same(third.heard.errors, [], 'once')
    t.equal(third.bus.table.number, 6)
  })
}

t.test(
  'the machine and Redis have both lost purges: nothing older is trusted',
  options,
  async (t) => {
    const server = await startRedis(t)
    const folder = temporaryFolder(t)
    const at = { redis: { url: server.url }, folder }
    const first = await startBus(t, at)
    for (let i = 0; i < 5; i++) await first.bus.publish(tagPurge(`t-${i}`))
    await first.bus.stop()
    HARM[2][1](folder)
    await server.cli('flushall')
    const second = await startBus(t, at)
    t.match(second.heard.floors, [{ number: 5, reason: /both lost purges/ }])
    t.equal(second.bus.table.validity(stored(4, 'other')), 'purged')
    const { number } = await second.bus.publish(tagPurge('next'), { waitMs: 10_000 })
    t.equal(number, 6, 'no number is given twice')
  },
)

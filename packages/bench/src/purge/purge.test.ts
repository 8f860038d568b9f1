import t from 'tap'
import { isInstalled } from '../processes.ts'
import { inFolder } from '../scenario.ts'
import { purgeTable, TINY } from '../scenarios/purge.ts'
import { microsecondsToAccept } from './accepting.ts'
import { measurePurges } from './measure-purges.ts'
import { latencies } from './percentile.ts'

t.setTimeout(120_000)

t.test(
  'the purge scenario in small: every purge arrives, every request is answered',
  { skip: isInstalled('redis-server') ? false : 'redis-server is not installed' },
  async (t) => {
    const figures = await inFolder((folder) => measurePurges({ ...TINY, folder }))
    const { idle, loaded, sustained, burst, requestsBefore } = figures
    t.equal(idle.count, TINY.purges)
    t.equal(loaded.count, TINY.purges)
    t.same([sustained.published.published, sustained.published.refused], [500, 0])
    t.same([burst.published.published, burst.published.refused], [TINY.burst, 0])
    t.equal(sustained.late, 0)
    t.same([requestsBefore.errors, sustained.requests.errors], [{}, {}])
    t.ok(sustained.requests.answers.count > 0)
    const accepting = [1, TINY.stored].map(microsecondsToAccept)
    t.notMatch(purgeTable(TINY, figures, accepting), /NaN|undefined/)
  },
)

t.test('percentiles by nearest rank', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  t.same(latencies(hundred), { count: 100, p50: 50, p99: 99, max: 100 })
  t.same(latencies([7]), { count: 1, p50: 7, p99: 7, max: 7 })
})

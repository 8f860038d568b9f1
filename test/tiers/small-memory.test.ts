import t from 'tap'
import type { ClientExchange } from '../support/client.ts'
import { startEdge } from '../support/edge.ts'
import { waitFor } from '../support/larder-process.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { distinctBytes } from '../support/redis-tier.ts'

/** Three times what memory holds. */
const PATHS = Array.from({ length: 30 }, (_, i) => `/${i}`)
const options = { skip: withoutRedis, timeout: 60_000 }

t.test(
  'what is found behind memory is answered, however little memory holds',
  options,
  async (t) => {
    const redis = await startRedis(t)
    const { origin, get } = await startEdge(t, 'h2', {
      memory: { maxSize: '1MiB' },
      redis: { url: redis.url, deadline: '5s' },
    })
    const body = distinctBytes(100_000)
    for (const [i, path] of PATHS.entries()) {
      origin.answers(path, { fields: { 'cache-control': 'max-age=60', 'x-path': path }, body })
      for (let use = 0; use < 3; use++) await get(path)
      // Head and body.
      await waitFor(async () => Number(await redis.cli('dbsize')) === 2 * (i + 1))
    }
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(PATHS.map((path) => get(path)))
      for (const [i, answer] of answers.entries())
        if (!isHit(answer)) t.fail(`${round} ${PATHS[i]}`)
      t.ok(
        answers.every((answer) => answer.body.equals(body)),
        'whole',
      )
    }
    for (const path of PATHS) t.equal(origin.asked(path), 1, path)
  },
)

function isHit({ cacheStatus }: ClientExchange): boolean {
  return /; hit/.test(cacheStatus ?? '')
}

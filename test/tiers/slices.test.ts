import t from 'tap'
import { waitFor } from '../support/larder-process.ts'
import { startPop } from '../support/pop.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { contentAt } from '../support/synthetic-content.ts'

const SLICE = 256 * 1024
const LENGTH = 10 * SLICE
/** In the target, because the Host field of the clients names the port of their worker. */
const TARGET = 'http://pop.test/film.mp4'
const options = { skip: withoutRedis, timeout: 120_000 }

t.test('a slice that is hot on one machine is a hit on the others', options, async (t) => {
  const redis = await startRedis(t)
  const rules = [{ path: '*', cache: { slice: '256KiB' } }]
  const { origin, clients } = await startPop(t, 2, redis, { rules })
  const [a, b] = clients
  origin.answersElse((wire, request) => {
    const [, first = 0, last = 0] =
      /^bytes=(\d+)-(\d+)$/.exec(request.fields.get('range') ?? '') ?? []
    const length = Number(last) - Number(first) + 1
    wire.answer({
      status: 206,
      fields: {
        'Cache-Control': 'max-age=600',
        ETag: '"1"',
        'Content-Range': `bytes ${first}-${last}/${LENGTH}`,
      },
      body: contentAt(Number(first), length),
    })
  })
  const fields = { Range: `bytes=${2 * SLICE + 5}-${2 * SLICE + 104}` }
  const ask = (client: typeof a) => client.open({ path: TARGET, fields }).done()
  for (let i = 0; i < 4; i++) await ask(a)
  // The head, the slice, and the slice's long body.
  await waitFor(async () => Number(await redis.cli('dbsize')) === 3)
  const hit = await ask(b)
  t.equal(hit.status, 206)
  t.match(hit.cacheStatus, /^Larder; hit/)
  t.ok(hit.body.equals(contentAt(2 * SLICE + 5, 100)))
  t.equal(origin.requests.length, 1)
  const next = { Range: `bytes=${3 * SLICE}-${3 * SLICE + 9}` }
  const other = await b.open({ path: TARGET, fields: next }).done()
  t.ok(other.body.equals(contentAt(3 * SLICE, 10)))
  t.equal(
    origin.lastRequest.fields.get('if-range'),
    '"1"',
    'bound to the head of the other machine',
  )
})

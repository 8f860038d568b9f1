import { Agent } from 'node:http'
import t, { type Test } from 'tap'
import { get, waitFor } from '../support/larder-process.ts'
import { type Pop, startPop } from '../support/pop.ts'
import { type RedisServer, startRedis, withoutRedis } from '../support/redis-server.ts'
import { distinctBytes } from '../support/redis-tier.ts'

const options = { skip: withoutRedis, timeout: 120_000 }

/** In the target, because the Host field of the clients names the port of their worker. */
const SITE = 'http://pop.test'

async function storedCount(redis: RedisServer): Promise<number> {
  return Number(await redis.cli('dbsize'))
}

t.test('what one worker has used twice another answers without the origin', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients, clock } = await startPop(t, 2, redis)
  const [a, b] = clients
  const body = distinctBytes(100_000)
  const fields = { 'cache-control': 'max-age=60', etag: '"1"', 'x-note': 'é' }
  origin.answers('/hot', { fields, body })
  for (let i = 0; i < 3; i++) await a.open({ path: `${SITE}/hot` }).done()
  await waitFor(async () => (await storedCount(redis)) === 2)
  clock.advanceSeconds(10)
  const hit = await b.open({ path: `${SITE}/hot` }).done()
  t.match(hit.cacheStatus, /^Larder; hit; ttl=50/)
  t.equal(hit.age, 10, 'its age goes on (RFC 9111 §4.2.3)')
  t.equal(hit.fields.get('etag'), '"1"')
  t.ok(hit.body.equals(body))
  t.equal(origin.asked('/hot'), 1)

  await redis.kill()
  const again = await b.open({ path: `${SITE}/hot` }).done()
  t.match(again.cacheStatus, /; hit/, 'and has in memory from then on')
})

t.test('one-hit wonders, and what is used once more, never go to Redis', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients } = await startPop(t, 1, redis)
  const fields = { 'cache-control': 'max-age=60' }
  for (let i = 0; i < 20; i++) {
    origin.answers(`/once-${i}`, { fields, body: 'x' })
    await clients[0].open({ path: `${SITE}/once-${i}` }).done()
    await clients[0].open({ path: `${SITE}/once-${i}` }).done()
  }
  origin.answers('/twice', { fields, body: 'x' })
  for (let i = 0; i < 3; i++) await clients[0].open({ path: `${SITE}/twice` }).done()
  await waitFor(async () => (await storedCount(redis)) > 0)
  t.equal(await storedCount(redis), 1)
})

t.test('an unsafe request removes the copy in Redis too (RFC 9111 §4.4)', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients } = await startPop(t, 2, redis)
  const [a, b] = clients
  origin.answers('/page', { fields: { 'cache-control': 'max-age=60' }, body: 'old' })
  for (let i = 0; i < 3; i++) await a.open({ path: `${SITE}/page` }).done()
  await waitFor(async () => (await storedCount(redis)) === 1)
  await a.open({ method: 'POST', path: `${SITE}/page`, body: 'x' }).done()
  await waitFor(async () => (await storedCount(redis)) === 0)
  origin.answers('/page', { fields: { 'cache-control': 'max-age=60' }, body: 'new' })
  t.equal((await b.open({ path: `${SITE}/page` }).done()).text, 'new')
})

t.test('a validation freshens no other body than its own (RFC 9111 §4.3.4)', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients, clock } = await startPop(t, 2, redis)
  const [a, b] = clients
  const cacheControl = { 'cache-control': 'max-age=60' }
  origin.answers('/page', { fields: { ...cacheControl, etag: '"1"' }, body: 'old' })
  for (let i = 0; i < 3; i++) await a.open({ path: `${SITE}/page` }).done()
  await waitFor(async () => (await storedCount(redis)) === 1)
  origin.answers('/page', { fields: { ...cacheControl, etag: '"2"' }, body: 'new' })
  const noCache = { 'Cache-Control': 'no-cache' }
  t.equal((await b.open({ path: `${SITE}/page`, fields: noCache }).done()).text, 'new')
  clock.advanceSeconds(61)
  origin.answers('/page', { status: 304, fields: { ...cacheControl, etag: '"2"' } })
  t.equal((await b.open({ path: `${SITE}/page` }).done()).text, 'new')
  // What Redis gets of another page it gets after whatever the validation has written.
  origin.answers('/other', { fields: cacheControl, body: 'other' })
  for (let i = 0; i < 3; i++) await b.open({ path: `${SITE}/other` }).done()
  await waitFor(async () => (await storedCount(redis)) === 2)
  origin.answers('/page', { fields: { ...cacheControl, etag: '"2"' }, body: 'new' })
  const answer = await a.open({ path: `${SITE}/page` }).done()
  t.equal(answer.text, 'new')
  t.equal(answer.fields.get('etag'), '"2"')
})

t.test('a Redis that is not there costs nobody anything', options, async (t) => {
  const redis = await startRedis(t)
  const { origin, clients } = await startPop(t, 1, redis)
  await redis.kill()
  origin.answers('/page', { fields: { 'cache-control': 'max-age=60' }, body: 'page' })
  t.equal((await clients[0].open({ path: `${SITE}/page` }).done()).text, 'page')
  t.match((await clients[0].open({ path: `${SITE}/page` }).done()).cacheStatus, /; hit/)
})

const PATHS = 400
const BODY_BYTES = 8_000
const DEADLINE_MS = 25
/** Origin, two workers and the clients share one event loop, and the machine is busy: what an exchange may take. */
const NORMAL_MS = 500

interface Load {
  answered: number
  wrong: number
  failed: number
  slowestMs: number
  stop(): Promise<void>
}

function bodyOfPath(i: number): string {
  return `${i} `.repeat(Math.ceil(BODY_BYTES / `${i} `.length))
}

/** More paths than memory holds, so that Redis is asked all the time; every answer is looked at. */
function startLoad(t: Test, { origin, ports }: Pop, clients: number): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  t.teardown(() => agent.destroy())
  for (let i = 0; i < PATHS; i++) {
    const fields = { 'cache-control': 'max-age=600' }
    origin.answers(`/load/${i}`, { fields, body: bodyOfPath(i) })
  }
  let running = true
  const load: Load = { answered: 0, wrong: 0, failed: 0, slowestMs: 0, stop: async () => {} }
  const loops = Array.from({ length: clients }, async (_, client) => {
    for (let step = client * 37; running; step = (step * 7 + 3) % 1_009) {
      // Half of the requests are for a tenth of the paths: those get hot.
      const i = step % 2 === 0 ? step % (PATHS / 10) : step % PATHS
      const url = `http://127.0.0.1:${ports[client % ports.length]}/load/${i}`
      const before = performance.now()
      const answer = await get(url, { agent, headers: { host: 'pop.test' } }).catch(() => null)
      load.slowestMs = Math.max(load.slowestMs, performance.now() - before)
      load.answered++
      if (answer === null || answer.status !== 200) load.failed++
      else if (answer.body !== bodyOfPath(i)) load.wrong++
    }
  })
  load.stop = async () => {
    running = false
    await Promise.all(loops)
  }
  return load
}

const faults: readonly [
  name: string,
  begin: (redis: RedisServer) => unknown,
  end: (redis: RedisServer) => unknown,
][] = [
  ['frozen', (redis) => redis.pause(), (redis) => redis.resume()],
  ['killed and started again', (redis) => redis.kill(), (redis) => redis.start()],
  [
    'full',
    (redis) => redis.cli('config', 'set', 'maxmemory', '1'),
    (redis) => redis.cli('config', 'set', 'maxmemory', '0'),
  ],
  ['emptied', (redis) => redis.cli('flushall'), () => {}],
]

for (const [name, begin, end] of faults) {
  t.test(`Redis ${name} under load: every answer is right, and in time`, options, async (t) => {
    const redis = await startRedis(t)
    const memory = { maxSize: '1MiB', maxObjectSize: '64KiB' }
    const pop = await startPop(t, 2, redis, { memory })
    const load = startLoad(t, pop, 16)
    const more = async (times: number) => {
      const before = load.answered
      await waitFor(() => load.answered > before + times, 60_000)
    }
    await more(1_500)
    t.ok((await storedCount(redis)) > 0, 'Redis is in use')
    const slowestBeforeMs = load.slowestMs
    load.slowestMs = 0
    await begin(redis)
    await more(1_500)
    await end(redis)
    await more(1_500)
    const slowestMs = load.slowestMs
    await load.stop()
    t.equal(load.failed, 0)
    t.equal(load.wrong, 0)
    t.ok(
      slowestMs < DEADLINE_MS + NORMAL_MS,
      `the slowest: ${slowestMs.toFixed(0)} ms; before: ${slowestBeforeMs.toFixed(0)} ms`,
    )
    const hitsNow = async () => Number(/keyspace_hits:(\d+)/.exec(await redis.cli('info'))?.[1])
    const hitsBefore = await hitsNow()
    const after = startLoad(t, pop, 4)
    await waitFor(async () => (await hitsNow()) > hitsBefore, 10_000)
    await after.stop()
    t.pass('and Redis is used again')
  })
}

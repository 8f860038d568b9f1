import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { filteringLinkTo } from '../support/filtering-link.ts'
import { startLarder, startOrigin, temporaryFolder } from '../support/larder-process.ts'
import { type RedisServer, startRedis, withoutRedis } from '../support/redis-server.ts'
import { keepAsking, type Seen } from './torture/clients.ts'
import { answerFrom } from './torture/origin.ts'
import { pagesOf } from './torture/page.ts'
import { Promises } from './torture/promises.ts'
import { type Answered, keepPurging } from './torture/purger.ts'
import { Random } from './torture/random.ts'
import { Tormentor } from './torture/tormentor.ts'
import { TorturedMachine } from './torture/tortured-machine.ts'

/** `LARDER_TORTURE_SEED` has a run again, as far as processes can; `LARDER_TORTURE_SECONDS` makes it longer. */
const SEED = Number(process.env.LARDER_TORTURE_SEED ?? 1)
const SECONDS = Number(process.env.LARDER_TORTURE_SECONDS ?? 120)
const CLIENTS = 8
const TENANTS = ['a', 'b']

t.setTimeout((SECONDS + 110) * 1_000)

t.test(
  `no purged response is seen again, whatever happens: ${SECONDS} s of seed ${SEED}`,
  { skip: withoutRedis },
  async (t) => {
    const random = new Random(SEED)
    const pages = pagesOf(TENANTS, 12)
    const promises = new Promises(pages, 3)
    const origin = await startOrigin(t, answerFrom(pages, promises, random.fork()))
    const redis = await startRedis(t, ['--appendonly', 'yes'])
    const machines = await startMachines(t, redis, origin)

    const endsAt = performance.now() + SECONDS * 1_000
    const isOver = () => performance.now() > endsAt || promises.violations.length > 0
    const partitionMs = SECONDS > 60 ? 30_000 : 6_000
    const common = { machines, pages, promises, redis, isOver }
    const tormentor = new Tormentor({ ...common, random: random.fork(), partitionMs })
    const isHeard = () => !tormentor.isDropping
    const seen: Seen = { answers: 0, hits: 0, retries: 0 }
    const answered: Answered = {}
    await Promise.all([
      ...Array.from({ length: CLIENTS }, () =>
        keepAsking({ ...common, random: random.fork() }, seen),
      ),
      keepPurging({ ...common, random: random.fork(), isHeard }, answered),
      keepPurging({ ...common, random: random.fork(), isHeard }, answered),
      tormentor.tormentWorkers(),
      tormentor.tormentLinks(),
      tormentor.tormentRedis(),
    ])
    t.comment(JSON.stringify({ seen, answered, done: tormentor.done, held: promises.held }))
    for (const violation of promises.violations) t.fail(`seed ${SEED}, ${violation}`)

    // All is well: a purge reaches everybody, and what there is now is what they answer.
    for (const machine of machines) await machine.connected()
    await wait(500)
    for (const page of pages) promises.change(page)
    const { status, body } = await machines[0].post({ type: 'all', confirm: true, wait: '15s' })
    t.match({ status, ...body }, { status: 200, machines: 3, missing: [] })
    const all = { type: 'all', soft: false } as const
    promises.promised(promises.sending(all, 'the end'), { now: [0, 1, 2], later: [] }, '200')
    const end = performance.now() + 3_000
    const last = { ...common, isOver: () => performance.now() > end }
    await Promise.all([1, 2, 3].map(() => keepAsking({ ...last, random: random.fork() }, seen)))
    t.same(promises.violations, [])
    t.ok(seen.hits > 0 && promises.held > 0, 'there was something to be wrong about')
  },
)

/** Two workers each; one has a disk tier. */
async function startMachines(t: Test, redis: RedisServer, origin: string) {
  return Promise.all(
    [0, 1, 2].map(async (index) => {
      const link = await filteringLinkTo(t, redis.port)
      const disk = { path: join(temporaryFolder(t), 'cache'), maxSize: '64MiB' }
      const larder = await startLarder(t, {
        tenants: TENANTS.map((id) => ({ id, hosts: [`${id}.test`], origins: [{ url: origin }] })),
        redis: { url: link.url },
        purge: { purgeFrom: ['127.0.0.1/32'] },
        // Small, so that other tiers are asked.
        memory: { maxSize: '1MiB', maxObjectSize: '256KiB' },
        ...(index === 2 ? { disk } : {}),
      })
      return new TorturedMachine(index, larder, link)
    }),
  )
}

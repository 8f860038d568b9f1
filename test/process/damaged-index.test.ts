import { existsSync, statSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { numbersFrom, overwrite } from '../../packages/proxy/src/storage/test-support/disk-files.ts'
import {
  get,
  type LarderProcess,
  startLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'

const PAGE_BYTES = 4096
const META_PAGES = 2
const STORED = 1500
const TRACKS = 4

/** Noise in every page, behind its number: what is looked at before an index is opened is as it was. */
function damage(file: string): void {
  const random = numbersFrom(7)
  const noise = Buffer.from(Array.from({ length: PAGE_BYTES - 24 }, () => random(256)))
  const { size } = statSync(file)
  for (let at = META_PAGES * PAGE_BYTES; at < size; at += PAGE_BYTES) {
    overwrite(file, at + 24, noise)
  }
}

async function metric(larder: LarderProcess, name: string): Promise<number> {
  const { body } = await get(`${larder.adminUrl}/metrics`)
  const line = body.split('\n').find((line) => line.startsWith(`${name} `))
  return Number(line?.split(' ')[1] ?? Number.NaN)
}

t.test(
  'an index that crashes whoever opens it is set aside while the proxy serves on',
  { timeout: 120_000 },
  async (t) => {
    const asked = new Map<string, number>()
    const origin = await startOrigin(t, (request, response) => {
      const path = request.url ?? ''
      asked.set(path, (asked.get(path) ?? 0) + 1)
      response.setHeader('cache-control', 'max-age=3600')
      response.end(`answer to ${path}`)
    })
    const cache = join(temporaryFolder(t), 'cache')
    const larder = await startLarder(t, {
      tenants: [{ id: 'a', hosts: ['*'], origins: [{ url: origin }] }],
      disk: { path: cache, maxSize: '64MiB', minFree: '1MiB' },
    })
    const [url] = larder.urls('http')
    const agent = new Agent({ keepAlive: true, maxSockets: TRACKS })
    t.teardown(() => agent.destroy())
    const index = join(cache, 'index', 'data.mdb')
    const fill = (round: number) =>
      Promise.all(
        Array.from({ length: TRACKS }, async (_, track) => {
          for (let i = track; i < STORED; i += TRACKS) {
            await get(`${url}/stored/${round}/${i}`, { agent })
          }
        }),
      )
    // How much of it is free depends on how many commits it took.
    for (let round = 0; round === 0 || statSync(index).size <= 80 * PAGE_BYTES; round++) {
      await fill(round)
    }

    damage(index)
    let stopped = false
    let answered = 0
    const failures: string[] = []
    const wrong: string[] = []
    const asking = Array.from({ length: TRACKS }, async (_, track) => {
      for (let i = 0; !stopped; i++) {
        const path = `/new/${track}/${i}`
        // Each on a connection of its own: what a crash cuts is what it was doing.
        const answer = await get(url + path).catch((error: Error) => error.message)
        if (typeof answer === 'string') failures.push(answer)
        else if (answer.status >= 500) failures.push(`${answer.status}`)
        else if (answer.body !== `answer to ${path}`) wrong.push(`${path}: ${answer.body}`)
        else answered++
      }
    })
    const setAside = 'larder_disk_indexes_set_aside_total'
    // By the primary after two crashes; or by a worker, when LMDB notices before it crashes.
    await waitFor(() => existsSync(join(cache, 'index-unusable', 'data.mdb')), 60_000)
    const before = answered
    await waitFor(async () => {
      const isUp = (await metric(larder, 'larder_tier_up{tier="disk"}')) === 2
      const { status } = await get(`${larder.adminUrl}/readyz`)
      return isUp && status === 200 && statSync(index, { throwIfNoEntry: false }) !== undefined
    }, 60_000)
    await waitFor(() => answered > before + 50)
    stopped = true
    await Promise.all(asking)

    t.comment(`${answered} answered, ${failures.length} cut: ${[...new Set(failures)].join(', ')}`)
    t.same(wrong, [], 'no wrong bytes')
    t.notOk(failures.some((reason) => reason.includes('ECONNREFUSED')))
    t.ok(failures.length < answered / 4, `${failures.length} of ${answered} were cut`)
    const bySupervisor = /processes crash, which a damaged index of the disk tier does/
    t.equal(bySupervisor.test(larder.stderr), (await metric(larder, setAside)) === 1)
    t.ok(statSync(join(cache, 'index-unusable', 'data.mdb')).size > 0, 'kept for a look at it')
    t.equal(larder.child.exitCode, null, 'the primary lives')
    t.equal(larder.child.signalCode, null)

    await get(`${url}/after`)
    // Memory goes with the worker: what answers the second time is the disk.
    larder.child.kill('SIGUSR2')
    await waitFor(() => larder.stderr.includes('workers are replaced'), 60_000)
    t.equal((await get(`${url}/after`)).body, 'answer to /after')
    t.equal(asked.get('/after'), 1, 'the disk tier works')
  },
)

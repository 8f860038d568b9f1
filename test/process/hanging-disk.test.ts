import { join } from 'node:path'
import t from 'tap'
import { recordFiles } from '../../packages/proxy/src/storage/test-support/disk-files.ts'
import { makeHang } from '../../packages/proxy/src/storage/test-support/hanging-file.ts'
import {
  get,
  startLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'

t.test(
  'a disk that hangs costs misses, no answer and no worker',
  { timeout: 90_000 },
  async (t) => {
    let asked = 0
    const origin = await startOrigin(t, (request, response) => {
      asked++
      response.setHeader('cache-control', 'max-age=3600')
      response.end(`answer to ${request.url}`)
    })
    const cache = join(temporaryFolder(t), 'cache')
    const larder = await startLarder(t, {
      // By name: looking it up needs a thread of the pool, too.
      tenants: [
        { id: 'a', hosts: ['*'], origins: [{ url: origin.replace('127.0.0.1', 'localhost') }] },
      ],
      disk: { path: cache, maxSize: '64MiB', minFree: '1MiB' },
    })
    const [url] = larder.urls('http')
    const paths = Array.from({ length: 24 }, (_, i) => `/${i}`)
    for (const path of paths) await get(url + path)
    t.equal(asked, paths.length)
    // The memory of the workers goes with them; what is committed stays.
    larder.child.kill('SIGUSR2')
    await waitFor(() => larder.stderr.includes('workers are replaced'), 30_000)
    const pids = (await larder.workers()).map(({ pid }) => pid)
    const hanging = recordFiles(cache, 'segments').map((segment) => makeHang(t, segment))
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(paths.map((path) => get(url + path)))
      t.ok(
        answers.every(({ status, body }, i) => status === 200 && body === `answer to ${paths[i]}`),
      )
    }
    t.equal(asked, paths.length * 2, 'the origin was asked instead, once each')
    await waitFor(async () => {
      const { body } = await get(`${larder.adminUrl}/metrics`)
      const line = /^larder_tier_failures_total\{tier="disk",kind="timeouts"\} (\d+)$/m.exec(body)
      return Number(line?.[1] ?? 0) > 0
    })
    t.same(
      (await larder.workers()).map(({ pid }) => pid),
      pids,
      'the workers live',
    )
    for (const { release } of hanging) release()
    await waitFor(async () => {
      const { body } = await get(`${larder.adminUrl}/metrics`)
      return body.includes('larder_tier_up{tier="disk"} 2')
    })
  },
)

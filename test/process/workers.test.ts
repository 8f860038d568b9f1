import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  get,
  type LarderProcess,
  startLarder,
  startOrigin,
  waitFor,
} from '../support/larder-process.ts'

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function proxyWithOrigin(t: import('tap').Test, more: Record<string, unknown> = {}) {
  const origin = await startOrigin(t, (request, response) => {
    response.setHeader('cache-control', 'no-store')
    response.end(`answer to ${request.url}`)
  })
  const tenants = [{ id: 'a', hosts: ['*'], origins: [{ url: origin }] }]
  return startLarder(t, { tenants, ...more })
}

async function allServing(larder: LarderProcess): Promise<boolean> {
  return (await get(`${larder.adminUrl}/readyz`)).status === 200
}

/** Requests on fresh connections, one after the other on four tracks, until told to stop. */
function keepAsking(url: string) {
  const result = { answered: 0, failed: [] as string[], stop: async () => {} }
  let isStopped = false
  const track = async (number: number) => {
    for (let count = 0; !isStopped; count++) {
      const path = `/${number}/${count}`
      const answer = await get(url + path).catch((error: Error) => error.message)
      if (
        typeof answer !== 'string' &&
        answer.status === 200 &&
        answer.body === `answer to ${path}`
      ) {
        result.answered++
      } else {
        result.failed.push(typeof answer === 'string' ? answer : `${answer.status} ${answer.body}`)
      }
    }
  }
  const tracks = [0, 1, 2, 3].map(track)
  result.stop = async () => {
    isStopped = true
    await Promise.all(tracks)
  }
  return result
}

t.test('workers replaced by SIGUSR2 lose no request', async (t) => {
  const larder = await proxyWithOrigin(t)
  const before = (await larder.workers()).map((worker) => worker.pid)
  const asking = keepAsking(larder.urls('http')[0])
  await waitFor(() => asking.answered > 20)
  larder.child.kill('SIGUSR2')
  await waitFor(() => larder.stderr.includes('workers are replaced'))
  const after = asking.answered
  await waitFor(() => asking.answered > after + 20)
  await asking.stop()
  t.same(asking.failed, [])
  const pids = (await larder.workers()).map((worker) => worker.pid)
  t.notOk(
    pids.some((pid) => before.includes(pid)),
    'every worker is another',
  )
  t.notOk(
    before.some((pid) => isAlive(pid ?? 0)),
    'the old ones have ended',
  )
})

t.test('a killed worker costs only what it was doing, and is back at once', async (t) => {
  const larder = await proxyWithOrigin(t)
  const [victim] = await larder.workers()
  const asking = keepAsking(larder.urls('http')[0])
  await waitFor(() => asking.answered > 20)
  process.kill(victim.pid ?? 0, 'SIGKILL')
  await waitFor(async () => {
    const [worker] = await larder.workers()
    return worker.pid !== victim.pid && worker.state === 'serving'
  })
  const after = asking.answered
  await waitFor(() => asking.answered > after + 20)
  await asking.stop()
  // Four tracks: at most four requests can have been under way.
  t.ok(asking.failed.length <= 4, `${asking.failed.length} were cut`)
  t.notOk(
    asking.failed.some((reason) => reason.includes('ECONNREFUSED')),
    'no connection was refused',
  )
  t.equal((await larder.workers())[0].restarts, 1)
})

t.test('a crash loop waits longer and longer while the others serve', async (t) => {
  const larder = await proxyWithOrigin(t)
  let killed: number | null = null
  await waitFor(async () => {
    const [worker] = await larder.workers()
    if (worker.state === 'serving' && worker.pid !== null && worker.pid !== killed) {
      killed = worker.pid
      process.kill(killed, 'SIGKILL')
    }
    return worker.crashLoop && worker.state === 'waiting'
  })
  const ready = await get(`${larder.adminUrl}/readyz`)
  t.equal(ready.status, 503)
  t.match(JSON.parse(ready.body).reasons, [/worker 0 is in a crash loop/])
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, count) => get(`${larder.urls('http')[0]}/${count}`)),
  )
  t.ok(
    answers.every((answer) => answer.status === 200),
    'the other worker gets every connection',
  )
  t.match(larder.stderr, /crash loop: worker ended again/)
  await waitFor(() => allServing(larder))
})

t.test('a worker that shows no sign of life is killed and replaced', async (t) => {
  const larder = await proxyWithOrigin(t)
  const [victim] = await larder.workers()
  process.kill(victim.pid ?? 0, 'SIGSTOP')
  await waitFor(async () => {
    const [worker] = await larder.workers()
    return worker.pid !== victim.pid && worker.state === 'serving'
  })
  t.match(larder.stderr, /no sign of life for 5000 ms/)
})

t.test('SIGTERM finishes what is under way and ends with status 0', async (t) => {
  let release = () => {}
  const isAsked = new Promise<void>((asked) => {
    release = asked
  })
  let finish = () => {}
  const origin = await startOrigin(t, (request, response) => {
    if (request.url !== '/slow') return void response.end('still here')
    release()
    finish = () => response.end('whole')
  })
  const tenants = [{ id: 'a', hosts: ['*'], origins: [{ url: origin }] }]
  const larder = await startLarder(t, { tenants })
  const answer = get(`${larder.urls('http')[0]}/slow`)
  await isAsked
  larder.child.kill('SIGTERM')
  await waitFor(() => larder.stderr.includes('finishing what is under way'))
  await waitFor(() =>
    get(`${larder.urls('http')[0]}/`).then(
      () => false,
      () => true,
    ),
  )
  finish()
  t.match(await answer, { status: 200, body: 'whole' })
  t.equal(await larder.ended(), 0)
})

t.test('a second signal ends everything at once', async (t) => {
  const origin = await startOrigin(t, () => {})
  const tenants = [{ id: 'a', hosts: ['*'], origins: [{ url: origin }] }]
  const larder = await startLarder(t, { tenants })
  const pids = (await larder.workers()).map((worker) => worker.pid ?? 0)
  const answer = get(`${larder.urls('http')[0]}/hangs`).then(
    () => 'answered',
    () => 'cut',
  )
  larder.child.kill('SIGTERM')
  await waitFor(() => larder.stderr.includes('finishing what is under way'))
  larder.child.kill('SIGTERM')
  t.equal(await larder.ended(), 1)
  t.equal(await answer, 'cut')
  await waitFor(() => !pids.some(isAlive))
})

t.test('workers do not outlive a killed primary', async (t) => {
  const larder = await proxyWithOrigin(t)
  const pids = (await larder.workers()).map((worker) => worker.pid ?? 0)
  larder.child.kill('SIGKILL')
  await waitFor(() => !pids.some(isAlive))
  await t.rejects(get(larder.urls('http')[0]), /ECONNREFUSED/)
})

t.test(
  'workers give up the rights of root after the start',
  { skip: process.getuid?.() !== 0 && 'only root can give up its rights' },
  async (t) => {
    const larder = await proxyWithOrigin(t, { user: 'nobody' })
    for (const worker of await larder.workers()) {
      const status = readFileSync(`/proc/${worker.pid}/status`, 'utf8')
      t.match(status, /^Uid:\t65534\t65534\t65534\t65534$/m)
      t.match(status, /^Groups:\t65534 ?$/m)
    }
    t.equal((await get(larder.urls('http')[0])).status, 200)
  },
)

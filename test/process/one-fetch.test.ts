import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  type LarderProcess,
  startLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'

const PIECE = Buffer.alloc(1024 * 1024, 'x')
const PIECES = 20
const WHOLE = createHash('sha256')
  .update(Buffer.concat(new Array(PIECES).fill(PIECE)))
  .digest('hex')
const CLIENTS = 60
/** The same key for every proxy, whatever its port. */
const HOST = { host: 'www.test' }

interface SlowOrigin {
  readonly url: string
  /** Requests by path. */
  readonly asked: Map<string, number>
  /** Lets the rest of every body go, once its first piece is out. */
  release(): void
}

/** 20 MiB bodies that may be stored; the first MiB at once, the rest when released. */
async function slowOrigin(t: Test): Promise<SlowOrigin> {
  const asked = new Map<string, number>()
  const gate = Promise.withResolvers<void>()
  const url = await startOrigin(t, async (incoming, response) => {
    const path = incoming.url ?? ''
    asked.set(path, (asked.get(path) ?? 0) + 1)
    response.setHeader('cache-control', 'max-age=600')
    response.setHeader('content-length', PIECE.length * PIECES)
    response.write(PIECE)
    await gate.promise
    for (let i = 1; i < PIECES; i++) response.write(PIECE)
    response.end()
  })
  return { url, asked, release: gate.resolve }
}

interface Download {
  firstByte: boolean
  /** undefined while it runs. */
  readonly result: Promise<{ status: number; complete: boolean; hash: string; cacheStatus: string }>
}

/** On a connection of its own, so that the kernel chooses the worker. */
function download(larder: LarderProcess, path: string): Download {
  const hash = createHash('sha256')
  const state = { firstByte: false }
  const result = new Promise<Awaited<Download['result']>>((resolve) => {
    const lost = { status: 0, complete: false, hash: '', cacheStatus: '' }
    const asking = request(
      { host: '127.0.0.1', port: larder.httpPort, path, agent: false, headers: HOST },
      (response) => {
        response.on('data', (chunk: Buffer) => {
          state.firstByte = true
          hash.update(chunk)
        })
        response.on('error', () => undefined)
        response.on('close', () =>
          resolve({
            status: response.statusCode ?? 0,
            complete: response.complete,
            hash: hash.digest('hex'),
            cacheStatus: String(response.headers['cache-status']),
          }),
        )
      },
    )
    asking.on('error', () => resolve(lost))
    asking.end()
  })
  return {
    get firstByte() {
      return state.firstByte
    },
    result,
  }
}

async function machine(t: Test, origin: SlowOrigin, more: Record<string, unknown> = {}) {
  const tenants = [{ id: 'a', hosts: ['*'], origins: [{ url: origin.url }] }]
  const disk = { path: join(temporaryFolder(t), 'cache'), maxSize: '1GiB' }
  return startLarder(t, { tenants, disk, ...more })
}

t.test('many clients of one cold object are one origin request on all workers', async (t) => {
  const origin = await slowOrigin(t)
  const larder = await machine(t, origin)
  const downloads = Array.from({ length: CLIENTS }, () => download(larder, '/cold'))
  // Every client reads while the origin has sent no more than the beginning.
  await waitFor(() => downloads.every(({ firstByte }) => firstByte))
  t.equal(origin.asked.get('/cold'), 1)
  origin.release()
  for (const { result } of downloads) {
    const { status, complete, hash } = await result
    t.same({ status, complete, hash }, { status: 200, complete: true, hash: WHOLE })
  }
  t.equal(origin.asked.get('/cold'), 1)
  for (let i = 0; i < 8; i++) {
    const { hash, cacheStatus } = await download(larder, '/cold').result
    t.equal(hash, WHOLE)
    t.match(cacheStatus, /^Larder; hit/)
  }
  t.equal(origin.asked.get('/cold'), 1)
})

t.test('the owner killed in the middle: nothing cut looks whole, one new fill', async (t) => {
  const origin = await slowOrigin(t)
  const larder = await machine(t, origin)
  const before = await larder.workers()
  // One of these paths is owned by either worker; which, nobody outside can tell: all are in the middle when both die.
  const downloads = Array.from({ length: 12 }, (_, i) => download(larder, `/path-${i % 3}`))
  await waitFor(() => downloads.every(({ firstByte }) => firstByte))
  process.kill(before[0].pid ?? 0, 'SIGKILL')
  await waitFor(async () => {
    const now = await larder.workers()
    return now.every(({ pid, state }) => state === 'serving' && pid !== before[0].pid)
  })
  origin.release()
  for (const { result } of downloads) {
    const { complete, hash } = await result
    if (complete) t.equal(hash, WHOLE)
  }
  for (let i = 0; i < 3; i++) {
    const askedBefore = origin.asked.get(`/path-${i}`) ?? 0
    t.ok(askedBefore <= 2, `/path-${i} was asked for ${askedBefore} times`)
    const again = Array.from({ length: 6 }, () => download(larder, `/path-${i}`))
    for (const { result } of again) {
      const { status, complete, hash } = await result
      t.same({ status, complete, hash }, { status: 200, complete: true, hash: WHOLE })
    }
    t.ok((origin.asked.get(`/path-${i}`) ?? 0) <= askedBefore + 1, 'one new fill at most')
  }
})

t.test('what waits at the socket of a worker that is killed is told so at once', async (t) => {
  const origin = await slowOrigin(t)
  const larder = await machine(t, origin)
  const pid = (await larder.workers())[0].pid ?? 0
  process.kill(pid, 'SIGSTOP')
  // The name under which it was bound; it has been moved to the one without the process id.
  const bound = new RegExp(`\\S+/worker-0\\.sock\\.${pid}$`, 'm').exec(
    readFileSync('/proc/net/unix', 'utf8'),
  )
  const socket = connect(bound?.[0].replace(/\.\d+$/, '') ?? '')
  await once(socket, 'connect')
  socket.on('error', () => undefined)
  let isClosed = false
  socket.on('close', () => {
    isClosed = true
  })
  socket.write('GET / HTTP/1.1\r\nhost: www.test\r\n\r\n')
  process.kill(pid, 'SIGKILL')
  await waitFor(() => isClosed)
  t.equal(socket.bytesRead, 0)
})

t.test('what one worker has fetched is a hit on every worker, without a disk', async (t) => {
  let asked = 0
  const url = await startOrigin(t, (_request, response) => {
    asked++
    response.setHeader('cache-control', 'max-age=600')
    response.end('small')
  })
  const larder = await startLarder(t, { tenants: [{ id: 'a', hosts: ['*'], origins: [{ url }] }] })
  for (let i = 0; i < 24; i++) {
    const { status, cacheStatus } = await download(larder, '/small').result
    t.equal(status, 200)
    if (i > 0) t.match(cacheStatus, /^Larder; hit/)
  }
  t.equal(asked, 1)
})

t.test('everything killed: the disk answers from the first request on', async (t) => {
  const origin = await slowOrigin(t)
  origin.release()
  const folder = join(temporaryFolder(t), 'cache')
  const disk = { path: folder, maxSize: '1GiB' }
  const first = await machine(t, origin, { disk })
  t.equal((await download(first, '/kept').result).hash, WHOLE)
  // A hit from either worker shows that it is committed.
  await waitFor(async () => /hit/.test((await download(first, '/kept').result).cacheStatus))
  const pids = (await first.workers()).map(({ pid }) => pid ?? 0)
  first.child.kill('SIGKILL')
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await first.ended()
  const second = await machine(t, origin, { disk })
  const { hash, cacheStatus } = await download(second, '/kept').result
  t.equal(hash, WHOLE)
  t.match(cacheStatus, /^Larder; hit/)
  t.equal(origin.asked.get('/kept'), 1)
})

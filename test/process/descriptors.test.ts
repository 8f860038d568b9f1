import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { get, startLarder, startOrigin, waitFor } from '../support/larder-process.ts'

const MAX_DESCRIPTORS = 120

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0
const skip = !hasPrlimit && 'prlimit (util-linux) is not there'

t.test('a worker out of file descriptors recovers by itself', { skip }, async (t) => {
  const origin = await startOrigin(t, (_request, response) => response.end('x'))
  const tenants = [{ id: 'a', hosts: ['*'], origins: [{ url: origin }] }]
  const larder = await startLarder(t, { tenants }, ['--workers', '1'])
  const [{ pid }] = await larder.workers()
  const limit = [`--pid=${pid}`, `--nofile=${MAX_DESCRIPTORS}`]
  t.equal(spawnSync('prlimit', limit).status, 0)
  const url = larder.urls('http')[0]
  t.equal((await get(url)).status, 200)

  const held: Socket[] = []
  t.teardown(() => held.forEach((socket) => void socket.destroy()))
  for (let count = 0; count < MAX_DESCRIPTORS * 2; count++) {
    const socket = connect(larder.httpPort, '127.0.0.1')
    // The ones too many are reset; that is what is waited for below.
    socket.on('error', () => {})
    socket.resume()
    held.push(socket)
    await once(socket, 'connect')
  }
  await waitFor(() => held.some((socket) => socket.destroyed))
  for (const socket of held) socket.destroy()
  await waitFor(
    () =>
      get(url).then(
        ({ status }) => status === 200,
        () => false,
      ),
    5000,
  )
  const [worker] = await larder.workers()
  t.equal(worker.pid, pid, 'it is the same worker')
  t.match(worker, { restarts: 0, state: 'serving' })
})

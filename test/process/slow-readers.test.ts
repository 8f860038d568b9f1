import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import t from 'tap'
import { get, startLarder, startOrigin, waitFor } from '../support/larder-process.ts'
import { ask, openReader } from '../support/stalled-readers.ts'
import type { Way } from '../support/traffic.ts'

const READERS = 1000
const MAX_GROWTH_BYTES = 64 * 1024 * 1024
const LARGE = Buffer.alloc(16 * 1024 * 1024, 'sixteen octets. ')

t.setTimeout(120_000)

function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}

/** Resolves to the RSS when it has not grown for a while: everybody has got what the kernel takes. */
async function settledBytes(pid: number): Promise<number> {
  let largest = 0
  let looks = 0
  await waitFor(() => {
    const now = residentBytes(pid)
    looks = now > largest * 1.01 ? 0 : looks + 1
    largest = Math.max(largest, now)
    return looks > 25
  }, 60_000)
  return largest
}

async function readLarge(socket: Socket, way: Way): Promise<void> {
  ask(socket, way, '/large', 2)
  let bytes = 0
  for await (const chunk of socket) {
    bytes += chunk.length
    if (bytes > LARGE.length) break
  }
  socket.destroy()
}

const cases: [name: string, way: Way, maxObject: string, readers: number][] = [
  ['a stored body over HTTP/1.1', 'http1', '32MiB', READERS],
  ['a stored body over HTTP/1.1 and TLS', 'http1-tls', '32MiB', READERS],
  ['a stored body over HTTP/2', 'http2', '32MiB', READERS],
  // Every one of them has an origin request of its own, and an origin has `originMaxConnections`.
  ['a body too large to store over HTTP/1.1', 'http1', '1MiB', 200],
]

for (const [name, way, maxObject, readers] of cases) {
  t.test(`${readers} clients that do not read ${name} cost less than 64 MiB`, async (t) => {
    const origin = await startOrigin(t, (request, response) => {
      response.setHeader('cache-control', 'max-age=600')
      response.end(request.url === '/large' ? LARGE : 'small')
    })
    const tenants = [
      { id: 'a', hosts: ['a.test'], origins: [{ url: origin }], certificate: 'self-signed' },
    ]
    const memory = { maxSize: '256MiB', maxObjectSize: maxObject }
    const timeouts = { write: '5m' }
    const words = ['--https', '127.0.0.1:0', '--workers', '1']
    const larder = await startLarder(t, { tenants, memory, timeouts }, words)
    const pid = (await larder.workers())[0].pid ?? 0
    const port = way === 'http1' ? larder.httpPort : larder.httpsPort
    const headers = { host: 'a.test' }
    for (let count = 0; count < 2; count++)
      await get(`${larder.urls('http')[0]}/large`, { headers })

    const sockets: Socket[] = []
    t.teardown(() => {
      for (const socket of sockets) socket.destroy()
    })
    while (sockets.length < readers) {
      const batch = Array.from({ length: 50 }, () => openReader(way, port, '/small'))
      sockets.push(...(await Promise.all(batch)))
    }
    // What the heap and its allocator take for work of this kind they keep: that is no cost of those who stall.
    await Promise.all(sockets.splice(-20).map((socket) => readLarge(socket, way)))
    const before = await settledBytes(pid)
    for (const socket of sockets) ask(socket, way, '/large', 2)
    const after = await settledBytes(pid)
    t.comment(`${Math.round((after - before) / 1024 / readers)} KiB for each`)
    t.ok(after - before < MAX_GROWTH_BYTES, `${Math.round((after - before) / 1048576)} MiB more`)
    t.equal((await get(`${larder.urls('http')[0]}/small`, { headers })).status, 200)
  })
}

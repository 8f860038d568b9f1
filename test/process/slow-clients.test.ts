import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import {
  get,
  type LarderProcess,
  startLarder,
  startOrigin,
  waitFor,
} from '../support/larder-process.ts'

/** Clients that take their time; the limits are shorter than the standard ones, the rules the same. */

const SLOW_HEADS = 2000
const HEADER_TIMEOUT_MS = 3000
const UPLOAD_BYTES = 1024 * 1024 * 1024
const MAX_UPLOAD_GROWTH_BYTES = 64 * 1024 * 1024

t.setTimeout(120_000)

async function start(t: import('tap').Test, timeouts: Record<string, string> = {}) {
  const origin = await startOrigin(t, (incoming, response) => {
    if (incoming.method !== 'POST') {
      response.setHeader('cache-control', 'max-age=600')
      response.end('probe')
      return
    }
    const hash = createHash('sha256')
    let bytes = 0
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      hash.update(chunk)
    })
    incoming.on('end', () => response.end(`${bytes} ${hash.digest('hex')}`))
    incoming.on('error', () => {})
  })
  const tenants = [
    { id: 'a', hosts: ['*', 'localhost'], origins: [{ url: origin }], certificate: 'self-signed' },
  ]
  const tls = { unknownServerName: 'default' }
  const words = ['--https', '127.0.0.1:0', '--workers', '1']
  return startLarder(t, { tenants, tls, timeouts }, words)
}

async function openSocket(t: import('tap').Test, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  // Cut by the proxy, which is what is waited for.
  socket.on('error', () => {})
  socket.resume()
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

async function closedAfterMs(sockets: readonly Socket[], startedAt: number): Promise<number> {
  await waitFor(() => sockets.every((socket) => socket.destroyed || socket.readableEnded), 30_000)
  return performance.now() - startedAt
}

t.test('heads that do not end are cut off in time, and nobody else notices', async (t) => {
  const larder = await start(t, { header: `${HEADER_TIMEOUT_MS}ms` })
  const url = larder.urls('http')[0]
  await get(url)
  const sockets: Socket[] = []
  while (sockets.length < SLOW_HEADS) {
    const batch = Array.from({ length: 100 }, () => openSocket(t, larder.httpPort))
    sockets.push(...(await Promise.all(batch)))
  }
  const startedAt = performance.now()
  for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n')
  // One more line of the head at a time, as the attack does it.
  const dribble = setInterval(() => {
    for (const socket of sockets) if (socket.writable) socket.write('X-A: b\r\n')
  }, 1000)
  t.teardown(() => clearInterval(dribble))
  const probes: number[] = []
  const isCut = closedAfterMs(sockets, startedAt)
  let isDone = false
  const finished = isCut.then(() => {
    isDone = true
  })
  while (!isDone) {
    const askedAt = performance.now()
    const { status, body } = await get(url)
    if (status !== 200 || body !== 'probe') t.fail(`${status} ${body}`)
    probes.push(performance.now() - askedAt)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await finished
  const tookMs = await isCut
  t.ok(tookMs < HEADER_TIMEOUT_MS + 2000, `ended after ${Math.round(tookMs)} ms`)
  probes.sort((a, b) => a - b)
  const worst = probes[Math.floor(probes.length * 0.99)]
  t.ok(probes.length > 20)
  t.ok(worst < 1000, `99 % of ${probes.length} probes within ${Math.round(worst)} ms`)
})

t.test('silent connections, plain and TLS, are cut off in time', async (t) => {
  const larder = await start(t, { header: '1s', tlsHandshake: '1s' })
  const startedAt = performance.now()
  const sockets = await Promise.all(
    [larder.httpPort, larder.httpsPort].map((port) => openSocket(t, port)),
  )
  const half = await openSocket(t, larder.httpsPort)
  half.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]))
  t.ok((await closedAfterMs([...sockets, half], startedAt)) < 5000)
})

t.test('a body that comes an octet at a time is cut off (minBodyRate)', async (t) => {
  const larder = await start(t, { bodyRateWindow: '1s' })
  const socket = await openSocket(t, larder.httpPort)
  const startedAt = performance.now()
  socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n')
  const dribble = setInterval(() => socket.write('x'), 100)
  t.teardown(() => clearInterval(dribble))
  t.ok((await closedAfterMs([socket], startedAt)) < 6000)
})

const uploads: [name: string, upload: (larder: LarderProcess, body: Body) => Promise<string>][] = [
  ['HTTP/1.1', uploadHttp1],
  ['HTTP/2', uploadHttp2],
]

for (const [name, upload] of uploads) {
  t.test(`an upload of 1 GiB over ${name} arrives whole and is not held`, async (t) => {
    const larder = await start(t)
    const pid = (await larder.workers())[0].pid ?? 0
    await upload(larder, bodyOf(64 * 1024 * 1024))
    const before = residentBytes(pid)
    let largest = 0
    const watch = setInterval(() => {
      largest = Math.max(largest, residentBytes(pid))
    }, 50)
    t.teardown(() => clearInterval(watch))
    const body = bodyOf(UPLOAD_BYTES)
    const answer = await upload(larder, body)
    t.equal(answer, `${UPLOAD_BYTES} ${body.hash.digest('hex')}`)
    const growth = largest - before
    t.ok(growth < MAX_UPLOAD_GROWTH_BYTES, `${Math.round(growth / 1048576)} MiB more`)
  })
}

interface Body {
  readonly hash: ReturnType<typeof createHash>
  readonly chunks: Iterable<Buffer>
}

function bodyOf(bytes: number): Body {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(256 * 1024, 'an upload of some length, ')
  function* chunks() {
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      hash.update(chunk)
      yield chunk
    }
  }
  return { hash, chunks: chunks() }
}

async function uploadHttp1(larder: LarderProcess, { chunks }: Body): Promise<string> {
  const options = { method: 'POST', agent: false, headers: { host: 'localhost' } }
  const sent = request(larder.urls('http')[0], options)
  const answered = once(sent, 'response')
  for (const chunk of chunks) if (!sent.write(chunk)) await once(sent, 'drain')
  sent.end()
  const [response] = await answered
  let text = ''
  for await (const piece of response) text += piece
  return text
}

async function uploadHttp2(larder: LarderProcess, { chunks }: Body): Promise<string> {
  const session = connectHttp2(`https://localhost:${larder.httpsPort}`, {
    rejectUnauthorized: false,
  })
  const stream = session.request({ ':method': 'POST', ':path': '/upload' })
  stream.setEncoding('utf8')
  let text = ''
  stream.on('data', (piece: string) => {
    text += piece
  })
  const ended = once(stream, 'end')
  for (const chunk of chunks) if (!stream.write(chunk)) await once(stream, 'drain')
  stream.end()
  await ended
  session.close()
  return text
}

function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}

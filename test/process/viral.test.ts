import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  get,
  type LarderProcess,
  startLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'

t.setTimeout(180_000)

/** Of all viewers so many do not read on for as long as the others have not come to the end. */
const STALLED = 6
const BODY_BYTES = 20 * 1000 * 1000
const FIRST_BYTES = 1024
/** The body is this over and over; twice, so that any piece of it is one comparison. */
const PATTERN = randomBytes(1024 * 1024)
const TWICE = Buffer.concat([PATTERN, PATTERN])
const WHOLE = Buffer.alloc(BODY_BYTES, PATTERN)

interface Viewer {
  readonly socket: Socket
  /** `performance.now()` of the first byte of the answer; 0 before. */
  firstByteAt: number
  head: string
  bodyBytes: number
  /** Bytes that were not what the origin had sent. */
  wrong: boolean
  ended: boolean
}

/** Asks for the object, and compares what comes with what the origin sends. By HTTP/1.0, to which nothing is chunked. */
async function startViewer(port: number): Promise<Viewer> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const viewer = { socket, firstByteAt: 0, head: '', bodyBytes: 0, wrong: false, ended: false }
  socket.on('data', (chunk: Buffer) => {
    if (viewer.firstByteAt === 0) viewer.firstByteAt = performance.now()
    receive(viewer, chunk)
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    viewer.ended = true
  })
  socket.write('GET /viral HTTP/1.0\r\nHost: www.test\r\n\r\n')
  return viewer
}

function receive(viewer: Viewer, chunk: Buffer): void {
  let at = 0
  if (!viewer.head.endsWith('\r\n\r\n')) {
    const text = viewer.head + chunk.toString('latin1')
    const end = text.indexOf('\r\n\r\n')
    const before = viewer.head.length
    viewer.head = end === -1 ? text : text.slice(0, end + 4)
    if (end === -1) return
    at = end + 4 - before
  }
  const bytes = chunk.length - at
  for (let done = 0; done < bytes; ) {
    const from = (viewer.bodyBytes + done) % PATTERN.length
    const length = Math.min(PATTERN.length, bytes - done)
    const start = at + done
    if (chunk.compare(TWICE, from, from + length, start, start + length) !== 0) viewer.wrong = true
    done += length
  }
  viewer.bodyBytes += bytes
}

async function collapsed(larder: LarderProcess): Promise<number> {
  const { body } = await get(`${larder.adminUrl}/metrics`)
  const counts = [...body.matchAll(/^larder_collapsed_requests_total\S* (\d+)/gm)]
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** `isChunked`: nobody knows beforehand how long it is. */
async function watchTogether(t: Test, clients: number, isChunked: boolean): Promise<void> {
  const begin = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  let asked = 0
  let firstByteAt = 0
  const url = await startOrigin(t, async (_request, response) => {
    asked++
    response.setHeader('cache-control', 'max-age=600')
    if (!isChunked) response.setHeader('content-length', BODY_BYTES)
    await begin.promise
    firstByteAt = performance.now()
    response.write(WHOLE.subarray(0, FIRST_BYTES))
    await goOn.promise
    response.end(WHOLE.subarray(FIRST_BYTES))
  })
  const larder = await startLarder(t, {
    tenants: [{ id: 'a', hosts: ['*'], origins: [{ url }] }],
    disk: { path: join(temporaryFolder(t), 'cache'), maxSize: '1GiB' },
    timeouts: { write: '170s' },
  })
  const viewers: Viewer[] = []
  t.teardown(() => {
    for (const { socket } of viewers) socket.destroy()
  })
  while (viewers.length < clients) {
    viewers.push(
      ...(await Promise.all(Array.from({ length: 20 }, () => startViewer(larder.httpPort)))),
    )
  }
  // All but the one that leads are waiting, on whichever worker, before the origin has sent a byte.
  await waitFor(async () => (await collapsed(larder)) >= clients - 2, 30_000)
  begin.resolve()
  await waitFor(() => viewers.every((viewer) => viewer.firstByteAt > 0), 30_000)
  const delays = viewers.map((viewer) => viewer.firstByteAt - firstByteAt).sort((a, b) => a - b)
  const at = (share: number) => `${delays[Math.ceil(share * clients) - 1].toFixed(1)} ms`
  t.comment(
    `first byte behind the origin's: p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}; the viewers are one process`,
  )
  const stalled = viewers.slice(0, STALLED)
  for (const { socket } of stalled) socket.pause()
  goOn.resolve()
  const others = viewers.slice(STALLED)
  await waitFor(() => others.every(({ ended }) => ended), 150_000)
  t.ok(stalled.every(({ ended }) => !ended))
  for (const { socket } of stalled) socket.resume()
  await waitFor(() => stalled.every(({ ended }) => ended), 30_000)
  t.equal(asked, 1)
  const right = viewers.filter(
    ({ head, bodyBytes, wrong }) =>
      head.startsWith('HTTP/1.1 200 ') && bodyBytes === BODY_BYTES && !wrong,
  )
  t.equal(right.length, clients)
}

t.test('a thousand viewers of one cold, slow object: one origin request', (t) =>
  watchTogether(t, 1_000, false),
)

t.test('viewers of a body without a length read along as well, and hold up nobody', (t) =>
  watchTogether(t, 60, true),
)

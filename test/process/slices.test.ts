import { globSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Http2Client } from '../support/h2-client.ts'
import {
  type LarderProcess,
  startLarder,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'
import { contentAt } from '../support/synthetic-content.ts'
import { type SyntheticOrigin, startSyntheticOrigin } from '../support/synthetic-origin.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const SLICE = 4 * MIB
const CLIENTS = 100
/** The same key for every proxy, whatever its port. */
const HOST = 'www.test'

interface Machine {
  readonly larder: LarderProcess
  readonly origin: SyntheticOrigin
}

function configFor(origin: SyntheticOrigin, folder: string, cache: object = {}) {
  const rules = [{ path: '*', cache }]
  const tenant = { id: 'a', hosts: ['*'], origins: [{ url: origin.url }], rules }
  const certificate = 'self-signed'
  return { tenants: [{ ...tenant, certificate }], disk: { path: folder, maxSize: '4GiB' } }
}

/** Two workers and a disk. */
async function machine(t: Test, cache: object = {}): Promise<Machine> {
  const origin = await startSyntheticOrigin(t)
  const config = configFor(origin, join(temporaryFolder(t), 'cache'), cache)
  return { origin, larder: await startLarder(t, config, ['--https', '127.0.0.1:0']) }
}

interface RangeAnswer {
  readonly status: number
  readonly body: Buffer
  readonly complete: boolean
  readonly cacheStatus: string
  readonly contentRange: string
}

/** On a connection of its own, so that the kernel chooses the worker. */
function ask(
  { larder }: Machine,
  path: string,
  range: string,
  method = 'GET',
): Promise<RangeAnswer> {
  const headers = range === '' ? { host: HOST } : { host: HOST, range }
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port: larder.httpPort,
      path,
      method,
      headers,
      agent: false,
    }
    const sent = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', () => undefined)
      response.on('close', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks),
          complete: response.complete,
          cacheStatus: String(response.headers['cache-status']),
          contentRange: String(response.headers['content-range']),
        }),
      )
    })
    sent.setTimeout(60_000, () => sent.destroy(new Error('no answer in 60 s')))
    sent.on('error', reject)
    sent.end()
  })
}

async function assertRange(
  t: Test,
  subject: Machine,
  path: string,
  first: number,
  length: number,
): Promise<RangeAnswer> {
  const answer = await ask(subject, path, `bytes=${first}-${first + length - 1}`)
  t.equal(answer.status, 206)
  t.ok(answer.complete)
  t.ok(answer.body.equals(contentAt(first, length)), `bytes ${first}-${first + length - 1}`)
  return answer
}

t.test('seeking in a cold 10 GiB file costs at most two slices a seek', async (t) => {
  const subject = await machine(t)
  const { origin } = subject
  const path = `/film.mp4?length=${10 * GIB}`
  let before = (await origin.stats()).bytes
  for (const first of [9 * GIB + 12_345, 0, 5 * GIB - 100_000, 123_456_789, 10 * GIB - 500_000]) {
    await assertRange(t, subject, path, first, 500_000)
    const { bytes, ranges } = await origin.stats()
    t.ok(bytes - before <= 2 * SLICE, `${bytes - before} octets for a seek to ${first}`)
    t.ok(ranges.every((range) => range !== ''))
    before = bytes
  }
  const isHit = async () =>
    /hit/.test((await assertRange(t, subject, path, 123_456_800, 400_000)).cacheStatus)
  // Nothing this large is in memory: once a worker has it from disk, each has.
  await waitFor(isHit)
  for (let i = 0; i < 8; i++) {
    const { cacheStatus } = await assertRange(t, subject, path, 123_456_800, 400_000)
    t.match(cacheStatus, /^Larder; hit/, 'on either worker')
  }
  t.equal((await origin.stats()).bytes, before)
})

t.test('a player over HTTP/2 that stops reading gets no more than it makes room for', async (t) => {
  const subject = await machine(t)
  const { origin, larder } = subject
  const client = new Http2Client(larder.httpsPort)
  t.teardown(() => client.close())
  let before = 0
  for (const first of [7 * GIB, 3 * GIB + 1, 10 * GIB - 10 * MIB]) {
    const path = `/film.mp4?length=${10 * GIB}`
    const exchange = client.open({ path, host: HOST, fields: { Range: `bytes=${first}-` } })
    await exchange.headCame()
    exchange.pause()
    t.equal(exchange.status, 206)
    t.equal(exchange.fields.get('content-range'), `bytes ${first}-${10 * GIB - 1}/${10 * GIB}`)
    exchange.resume()
    await exchange.bodyCame(100_000)
    exchange.leave()
    const { body } = exchange
    t.ok(body.equals(contentAt(first, body.length)))
    const { bytes } = await origin.stats()
    t.ok(bytes - before <= 2 * SLICE, `${bytes - before} octets for a seek to ${first}`)
    before = bytes
  }
})

t.test('many clients of one slice on two workers are one request to the origin', async (t) => {
  const subject = await machine(t, { slice: '1MiB' })
  const path = `/film.mp4?length=${GIB}`
  const asked = Array.from({ length: CLIENTS }, (_, i) =>
    assertRange(t, subject, path, 700 * MIB + i * 1000, 100_000),
  )
  await Promise.all(asked)
  t.same((await subject.origin.stats()).ranges, [`bytes=${700 * MIB}-${701 * MIB - 1}`])
  const others = Array.from({ length: CLIENTS }, (_, i) =>
    assertRange(t, subject, path, 300 * MIB + i * 1000, 1_500_000),
  )
  await Promise.all(others)
  const ranges = [300, 301].map((at) => `bytes=${at * MIB}-${(at + 1) * MIB - 1}`)
  t.same((await subject.origin.stats()).ranges.slice(1).toSorted(), ranges)
})

t.test('what slices are stored is there after everything was killed', async (t) => {
  const origin = await startSyntheticOrigin(t)
  const folder = join(temporaryFolder(t), 'cache')
  const config = configFor(origin, folder)
  const path = `/film.mp4?length=${10 * GIB}`
  const first = { origin, larder: await startLarder(t, config) }
  await assertRange(t, first, path, 5 * GIB, 10 * MIB)
  const before = await origin.stats()
  await waitFor(async () =>
    /hit/.test((await assertRange(t, first, path, 5 * GIB, 10 * MIB)).cacheStatus),
  )
  const pids = (await first.larder.workers()).map(({ pid }) => pid ?? 0)
  first.larder.child.kill('SIGKILL')
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await first.larder.ended()
  const second = { origin, larder: await startLarder(t, config) }
  const { cacheStatus } = await assertRange(t, second, path, 5 * GIB, 10 * MIB)
  t.match(cacheStatus, /^Larder; hit/)
  t.same((await origin.stats()).ranges, before.ranges)
})

t.test('invalidated, no worker has a slice of it any more, nor has the disk', async (t) => {
  const origin = await startSyntheticOrigin(t)
  const folder = join(temporaryFolder(t), 'cache')
  const subject = {
    origin,
    larder: await startLarder(t, configFor(origin, folder, { slice: '4MiB' })),
  }
  const slicesOnDisk = () => globSync('large/*/*', { cwd: folder }).length
  const path = `/film.mp4?length=${GIB}`
  for (let i = 0; i < 6; i++) await assertRange(t, subject, path, 500 * MIB, 20 * MIB)
  await waitFor(() => slicesOnDisk() >= 5)
  t.equal((await ask(subject, path, '', 'PUT')).status, 204)
  // The other worker hears of it by way of the primary.
  await waitFor(async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => ask(subject, path, `bytes=${500 * MIB}-${500 * MIB + 99}`)),
    )
    return answers.every(({ body }) => body.equals(contentAt(500 * MIB, 100, 2)))
  })
  // What is there is what has just been asked for: until both workers have heard, each asks by itself.
  await waitFor(() => slicesOnDisk() <= 2)
})

t.test('a representation that changes while it is sent is cut, and new from then on', async (t) => {
  const subject = await machine(t, { slice: '1MiB' })
  const { origin, larder } = subject
  const path = `/film.mp4?length=${GIB}`
  const chunks: Buffer[] = []
  const begun = Promise.withResolvers<IncomingMessage>()
  const closed = Promise.withResolvers<void>()
  const headers = { host: HOST, range: 'bytes=0-' }
  const sent = request({ host: '127.0.0.1', port: larder.httpPort, path, headers, agent: false })
  sent.on('response', (response) => {
    response.on('error', () => undefined)
    response.on('close', closed.resolve)
    begun.resolve(response)
  })
  sent.on('error', begun.reject)
  sent.end()
  const response = await begun.promise
  await origin.change()
  response.on('data', (chunk: Buffer) => chunks.push(chunk))
  await closed.promise
  const body = Buffer.concat(chunks)
  t.notOk(response.complete)
  t.ok(body.equals(contentAt(0, body.length)), 'nothing of the new one is in it')
  await waitFor(async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => ask(subject, path, 'bytes=0-99999')),
    )
    return answers.every(({ body }) => body.equals(contentAt(0, 100_000, 2)))
  })
})

import { rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Fields } from '../http/fields.ts'
import type { ProxyError } from '../http/proxy-error.ts'
import type { OriginHandler } from '../origin/origin-fetch.ts'
import { OriginPool } from '../origin/origin-pool.ts'
import { OriginResolver } from '../origin/resolver.ts'
import { temporaryFolder } from '../storage/test-support/disk.ts'
import { TimerWheel } from '../transport/timer-wheel.ts'
import { PeerFetch } from './peer-fetch.ts'

/** Two workers behind one socket, one after the other: what is asked of the first is asked of the second when it dies. */
class Owners {
  readonly path: string
  requests = 0
  #die: () => void = () => undefined

  constructor(t: Test) {
    this.path = join(temporaryFolder(t), 'worker-0.sock')
    t.teardown(() => this.#die())
  }

  /** A worker that answers each request with these bytes. */
  live(answer: string): Promise<void> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('data', () => {
        this.requests++
        socket.write(answer)
      })
    })
    this.#die = () => {
      server.close()
      rmSync(this.path, { force: true })
      for (const socket of sockets) socket.destroy()
    }
    this.cut = () => {
      for (const socket of sockets) socket.destroy()
    }
    return new Promise((resolve) => server.listen(this.path, resolve))
  }

  /** Ends its connections and lives on. */
  cut: () => void = () => undefined

  /** A replacement takes longer than those who asked need to notice. */
  async die(): Promise<void> {
    this.#die()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

class Reading implements OriginHandler {
  heads = 0
  body = ''
  readonly ended = Promise.withResolvers<'whole' | ProxyError>()
  readonly #wanted = Promise.withResolvers<void>()
  readonly #wantedBytes: number

  constructor(wantedBytes: number) {
    this.#wantedBytes = wantedBytes
  }

  /** The bytes that were waited for are there. */
  get begun(): Promise<void> {
    return this.#wanted.promise
  }

  onInterim(): void {}

  onHead(): void {
    this.heads++
    if (this.#wantedBytes === 0) this.#wanted.resolve()
  }

  onChunk(chunk: Buffer): void {
    this.body += chunk
    if (this.body.length >= this.#wantedBytes) this.#wanted.resolve()
  }

  onEnd(): void {
    this.ended.resolve('whole')
  }

  onError(error: ProxyError): void {
    this.ended.resolve(error)
  }
}

function start(t: Test, owners: Owners, reading: Reading, fromOrigin = 'the origin was asked') {
  const wheel = new TimerWheel().start()
  const pool = new OriginPool({
    target: {
      name: 'worker 0',
      authority: 'larder',
      host: 'larder',
      port: 0,
      secure: null,
      socketPath: owners.path,
    },
    connectMs: 1_000,
    firstByteMs: 10_000,
    idleMs: 10_000,
    maxConnections: 8,
    wheel,
    resolver: new OriginResolver(),
    onConnect() {},
  })
  t.teardown(() => {
    pool.close()
    wheel.stop()
  })
  return new PeerFetch({
    pool,
    socketPath: owners.path,
    request: { method: 'GET', target: '/a', fields: new Fields(['host', 'a.test']), body: null },
    handler: reading,
    instead(handler) {
      process.nextTick(() => {
        handler.onHead(
          200,
          new Fields(['etag', '"1"', 'content-length', '10']),
          'origin',
          'certain',
        )
        handler.onChunk(Buffer.from(fromOrigin))
        handler.onEnd(null)
      })
      return { pause() {}, resume() {}, abort() {} }
    },
  })
}

const head = (tag: string, more = 'content-length: 10\r\n') =>
  `HTTP/1.1 200 OK\r\n${tag === '' ? '' : `etag: ${tag}\r\n`}${more}\r\n`
const BEGUN = `${head('"1"')}01234`
const WHOLE = `${head('"1"')}0123456789`

t.test('an answer that had begun goes on where the dead worker stopped', async (t) => {
  const owners = new Owners(t)
  await owners.live(BEGUN)
  const reading = new Reading(5)
  start(t, owners, reading)
  await reading.begun
  await owners.die()
  await owners.live(WHOLE)
  t.equal(await reading.ended.promise, 'whole')
  t.equal(reading.body, '0123456789')
  t.equal(reading.heads, 1)
})

t.test('it does so when no byte of the body had come, and when a second one dies', async (t) => {
  const owners = new Owners(t)
  await owners.live(head('"1"'))
  const reading = new Reading(0)
  start(t, owners, reading)
  await reading.begun
  await owners.die()
  await owners.live(BEGUN)
  const asked = owners.requests
  while (owners.requests === asked) await new Promise((resolve) => setTimeout(resolve, 10))
  await owners.die()
  await owners.live(WHOLE)
  t.equal(await reading.ended.promise, 'whole')
  t.equal(reading.body, '0123456789')
})

const cuts: Record<string, string> = {
  'another tag': `${head('"2"')}0123456789`,
  'another beginning': `${head('"1"')}01x3456789`,
  'another length': `${head('"1"', 'content-length: 11\r\n')}0123456789a`,
  'another status': `HTTP/1.1 404 Not Found\r\netag: "1"\r\ncontent-length: 10\r\n\r\n0123456789`,
  'fewer bytes': `${head('"1"', '')}0123`,
}
for (const [name, second] of Object.entries(cuts)) {
  t.test(`never two answers in one: ${name}`, async (t) => {
    const owners = new Owners(t)
    const first =
      name === 'fewer bytes'
        ? `${head('"1"', 'transfer-encoding: chunked\r\n')}5\r\n01234\r\n`
        : BEGUN
    await owners.live(first)
    const reading = new Reading(5)
    start(t, owners, reading)
    await reading.begun
    await owners.die()
    await owners.live(
      name === 'fewer bytes'
        ? `${head('"1"', 'transfer-encoding: chunked\r\n')}4\r\n0123\r\n0\r\n\r\n`
        : second,
    )
    t.hasProps(await reading.ended.promise, ['code'])
    t.equal(reading.body, '01234')
  })
}

for (const tag of ['', 'W/"1"']) {
  t.test(`without a strong validator what was cut stays cut: ${tag || 'none'}`, async (t) => {
    const owners = new Owners(t)
    await owners.live(`${head(tag)}01234`)
    const reading = new Reading(5)
    start(t, owners, reading)
    await reading.begun
    await owners.die()
    t.hasProps(await reading.ended.promise, ['code'])
    t.equal(owners.requests, 1)
  })
}

t.test('an answer that a living worker has cut is cut, and not asked for again', async (t) => {
  const owners = new Owners(t)
  await owners.live(BEGUN)
  const reading = new Reading(5)
  start(t, owners, reading)
  await reading.begun
  owners.cut()
  t.hasProps(await reading.ended.promise, ['code'])
  t.equal(owners.requests, 1)
})

t.test('a worker that does not come back costs a request to the origin', async (t) => {
  const owners = new Owners(t)
  await owners.live(BEGUN)
  const reading = new Reading(5)
  start(t, owners, reading, '0123456789')
  await reading.begun
  await owners.die()
  t.equal(await reading.ended.promise, 'whole')
  t.equal(reading.body, '0123456789')
})

t.test(
  'a reader that was stopped gets nothing while the answer is repeated, nor after',
  async (t) => {
    const owners = new Owners(t)
    await owners.live(BEGUN)
    const reading = new Reading(5)
    const fetch = start(t, owners, reading)
    await reading.begun
    fetch.pause()
    await owners.die()
    // A stopped connection tells of its end only when it is read again.
    fetch.resume()
    fetch.pause()
    await owners.live(BEGUN)
    fetch.resume()
    const asked = owners.requests
    while (owners.requests === asked) await new Promise((resolve) => setTimeout(resolve, 10))
    fetch.abort()
    t.equal(reading.body, '01234')
  },
)

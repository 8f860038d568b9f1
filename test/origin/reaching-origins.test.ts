import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { DevelopmentAuthority } from '@larder/certs'
import t, { type Test } from 'tap'
import { OriginResolver } from '../../packages/proxy/src/origin/resolver.ts'
import { HandClock } from '../support/hand-clock.ts'
import { startNameServer } from '../support/name-server.ts'
import { fetchFrom, startOrigins } from '../support/origin-client.ts'
import { type ScriptedOrigin, startScriptedOrigin } from '../support/scripted-origin.ts'

async function startOrigin(t: Test, body: string): Promise<ScriptedOrigin> {
  const origin = await startScriptedOrigin(t, new HandClock())
  return origin.answers('/', { body })
}

/** A port where nobody listens. */
async function refusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

t.test(
  'a connection whose last bytes met a handler that paused hears the next answer',
  async (t) => {
    const origin = await startOrigin(t, 'whole')
    const origins = startOrigins(t, { origins: [{ url: origin.url }], originMaxConnections: 1 })
    for (let i = 0; i < 3; i++) {
      const { text } = await fetchFrom(origins, '/', (fetch) => fetch.pause())
      t.equal(text, 'whole')
    }
  },
)

t.test(
  'the others take turns, and a backup stands in when none of them can be reached',
  async (t) => {
    const [one, two, spare] = await Promise.all([
      startOrigin(t, 'one'),
      startOrigin(t, 'two'),
      startOrigin(t, 'spare'),
    ])
    const origins = startOrigins(t, {
      origins: [{ url: one.url }, { url: two.url }, { url: spare.url, backup: true }],
    })
    const texts = []
    for (let i = 0; i < 4; i++) texts.push((await fetchFrom(origins, '/')).text)
    t.same(texts.sort(), ['one', 'one', 'two', 'two'])
    await one.close()
    for (let i = 0; i < 6; i++) t.equal((await fetchFrom(origins, '/')).text, 'two')
    await two.close()
    for (let i = 0; i < 6; i++) t.equal((await fetchFrom(origins, '/')).text, 'spare')
  },
)

t.test('an origin that is down fails requests at once, and is found again by itself', async (t) => {
  const origin = await startOrigin(t, 'back')
  const { port } = origin
  const origins = startOrigins(t, { origins: [{ url: origin.url }] })
  await origin.close()
  for (let i = 0; i < 40; i++) await fetchFrom(origins, '/')
  const { error, tookMs } = await fetchFrom(origins, '/')
  t.match(error, { code: 'ORIGIN_DOWN', status: 503 })
  t.ok(tookMs < 50, `it took ${tookMs} ms`)
  await origin.listen(port)
  const startedAt = performance.now()
  while ((await fetchFrom(origins, '/')).text !== 'back') {
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.ok(performance.now() - startedAt < 2_500, 'it is found within the second period')
  t.equal((await fetchFrom(origins, '/')).text, 'back')
})

t.test('a dead address of a name costs no request', async (t) => {
  const origin = await startOrigin(t, 'alive')
  const names = await startNameServer(t, ['127.0.0.2', '127.0.0.1', '127.0.0.3'])
  const resolver = new OriginResolver({ servers: [names.address] })
  const origins = startOrigins(
    t,
    { origins: [{ url: `http://origin.test:${origin.port}` }] },
    resolver,
  )
  origin.answers('/', { body: 'alive', fields: { Connection: 'close' } })
  for (let i = 0; i < 6; i++) t.equal((await fetchFrom(origins, '/')).text, 'alive')
})

t.test('a name that does not resolve fails with its reason', async (t) => {
  const names = await startNameServer(t, 'no such name')
  const resolver = new OriginResolver({ servers: [names.address] })
  const origins = startOrigins(t, { origins: [{ url: 'http://origin.test' }] }, resolver)
  const { error } = await fetchFrom(origins, '/')
  t.match(error, { code: 'ORIGIN_NAME_UNRESOLVED', status: 502, proxyStatus: 'dns_error' })
})

t.test('time-outs shorter than a second hold', async (t) => {
  const timeouts = { connect: '100ms', firstByte: '100ms', idle: '100ms' }
  const origin = await startOrigin(t, '')
  const { url } = origin
  const silentNames = await startNameServer(t, 'silent')
  const resolver = new OriginResolver({ servers: [silentNames.address] })
  // It accepts, and never begins its handshake.
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  // A server that listens on TCP has an address with a port.
  const secureUrl = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`
  silent.on('connection', (socket) => t.teardown(() => socket.destroy()))
  origin
    .answers('/silent', () => {})
    .answers('/half-head', (wire) => void wire.write('HTTP/1.1 200 OK\r\nA: '))
    .answers('/half-body', (wire) => void wire.head(200, { 'Content-Length': '9' }).write('half'))
  const cases: [what: string, url: string, target: string, code: string][] = [
    ['the handshake', secureUrl, '/', 'ORIGIN_CONNECT_TIMEOUT'],
    ['the name', 'http://origin.test', '/', 'ORIGIN_CONNECT_TIMEOUT'],
    ['the head', url, '/silent', 'ORIGIN_FIRST_BYTE_TIMEOUT'],
    ['the rest of the head', url, '/half-head', 'ORIGIN_FIRST_BYTE_TIMEOUT'],
    ['the rest of the body', url, '/half-body', 'ORIGIN_IDLE_TIMEOUT'],
  ]
  for (const [what, url, target, code] of cases) {
    const origins = startOrigins(t, { origins: [{ url }], originTimeouts: timeouts }, resolver)
    const { error, tookMs } = await fetchFrom(origins, target)
    t.match(error, { code, status: 504 }, what)
    t.ok(tookMs >= 100 && tookMs < 400, `${what}: ${tookMs} ms`)
  }
})

t.test(
  'more fetches than connections wait in a bounded queue, the rest is refused at once',
  async (t) => {
    const origin = await startOrigin(t, '')
    const origins = startOrigins(t, {
      origins: [{ url: origin.url }],
      originMaxConnections: 2,
      originTimeouts: { connect: '10s' },
    })
    let open = 0
    let mostOpen = 0
    const held: (() => void)[] = []
    origin.answers('/held', (wire) => {
      mostOpen = Math.max(mostOpen, ++open)
      held.push(() => {
        open--
        wire.answer({ body: 'served' })
      })
    })
    const fetches = Array.from({ length: 13 }, () => fetchFrom(origins, '/held'))
    const early = await Promise.race(fetches)
    t.match(early.error, { code: 'ORIGIN_OVERLOADED', status: 503 })
    await origin.until(() => held.length === 2)
    for (let served = 0; served < 10; served++) {
      await origin.until(() => held.length > 0)
      held.shift()?.()
    }
    const all = await Promise.all(fetches)
    t.equal(all.filter(({ text }) => text === 'served').length, 10, 'two under way, eight waiting')
    t.equal(mostOpen, 2)
  },
)

t.test('who waits too long for a connection is refused', async (t) => {
  const origin = await startOrigin(t, '')
  const origins = startOrigins(t, {
    origins: [{ url: origin.url }],
    originMaxConnections: 1,
    originTimeouts: { connect: '100ms' },
  })
  origin.answers('/held', () => {})
  void fetchFrom(origins, '/held')
  await origin.untilAsked(1)
  const { error, tookMs } = await fetchFrom(origins, '/held')
  t.match(error, { code: 'ORIGIN_OVERLOADED' })
  t.ok(tookMs < 400, `${tookMs} ms`)
})

t.test(
  'an origin over TLS is verified: authority, name, and the configured name (RFC 9110 §4.3.4)',
  async (t) => {
    const authority = new DevelopmentAuthority(t.testdir({}))
    const pair = await authority.certificateFor('origin', ['origin.test'])
    const origin = await startScriptedOrigin(t, new HandClock(), pair)
    origin.answers('/', { body: 'secure' })
    const names = await startNameServer(t, ['127.0.0.1'])
    const resolver = new OriginResolver({ servers: [names.address] })
    const caFile = authority.certificateFile
    const fetch = (host: string, originTls: object) => {
      const url = `https://${host}:${origin.port}`
      return fetchFrom(startOrigins(t, { origins: [{ url }], originTls }, resolver), '/')
    }
    t.match(await fetch('origin.test', { caFile }), { text: 'secure' })
    t.match(await fetch('other.test', { caFile, serverName: 'origin.test' }), { text: 'secure' })
    const refused = {
      code: 'ORIGIN_CERTIFICATE',
      status: 502,
      proxyStatus: 'tls_certificate_error',
    }
    t.match((await fetch('other.test', { caFile })).error, refused, 'another name')
    t.match((await fetch('origin.test', {})).error, refused, 'an authority nobody knows')
    t.equal(origin.asked(), 2, 'nothing was sent to whom was not verified')
  },
)

t.test('an origin that does not speak TLS fails with its reason', async (t) => {
  const server = createServer((socket) => void socket.end('HTTP/1.1 400 Bad\r\n\r\n'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo
  const origins = startOrigins(t, { origins: [{ url: `https://127.0.0.1:${port}` }] })
  t.match((await fetchFrom(origins, '/')).error, { code: 'ORIGIN_TLS', status: 502 })
  const refused = startOrigins(t, { origins: [{ url: `http://127.0.0.1:${await refusedPort()}` }] })
  t.match((await fetchFrom(refused, '/')).error, { code: 'ORIGIN_REFUSED', status: 502 })
})

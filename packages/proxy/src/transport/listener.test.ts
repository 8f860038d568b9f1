import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { BlockList, connect, createServer } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Clock } from '../http/clock.ts'
import type { ClientFacts } from './exchange.ts'
import { exchangeRaw, parseResponses, RawClient } from './h1/support/raw-client.ts'
import { selfSignedContext } from './h1/support/self-signed.ts'
import {
  RecordingDoor,
  readyAnswer,
  respondText,
  type Teardown,
} from './h1/support/server-under-test.ts'
import { DEFAULT_LIMITS, type TransportLimits } from './limits.ts'
import { type FrontListener, type ListenerOptions, type ListenTarget, listen } from './listener.ts'
import { TimerWheel } from './timer-wheel.ts'
import { createSecureFront } from './tls-front.ts'

const REQUEST = 'GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'
const loopback = new BlockList()
loopback.addAddress('127.0.0.1')
const nobody = new BlockList()

interface ListenerUnderTest {
  listener: FrontListener
  port: number
  door: RecordingDoor
  advance(ms: number): void
}

async function start(
  t: Teardown,
  options: Partial<ListenerOptions> = {},
  limits: Partial<TransportLimits> = {},
  target: ListenTarget = { host: '127.0.0.1', port: 0 },
): Promise<ListenerUnderTest> {
  let now = 1
  const wheel = new TimerWheel(() => now)
  const door = new RecordingDoor()
  const defaults: ListenerOptions = {
    secure: false,
    proxyProtocol: null,
    door,
    limits: { ...DEFAULT_LIMITS, ...limits },
    clock: new Clock(),
    wheel,
    http2: null,
  }
  // Not spread: getters must stay getters.
  Object.defineProperties(defaults, Object.getOwnPropertyDescriptors(options))
  const listener = listen(target, defaults)
  const { port } = await listener.ready
  const advance = (ms: number) => {
    for (const until = now + ms; now < until; ) {
      now = Math.min(until, now + 100)
      wheel.advance()
    }
  }
  t.teardown(() => {
    const drained = listener.drain(1)
    advance(1000)
    return drained
  })
  return { listener, port, door, advance }
}

const contexts = new Map([
  ['a.test', selfSignedContext('a.test')],
  ['default', selfSignedContext('default')],
])
const front = () =>
  createSecureFront({
    contextFor(name) {
      if (name === 'broken.test') throw new Error('the store is broken')
      return contexts.get(name ?? 'default') ?? null
    },
    alpn: ['h2', 'http/1.1'],
  })

async function handshake(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  await once(socket, 'secureConnect')
  return socket
}

async function requestOn(socket: TLSSocket, request = REQUEST): Promise<string> {
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.write(request)
  await once(socket, 'end')
  socket.destroy()
  return text
}

t.test('a plain listener serves HTTP/1.1 and counts its connections', async (t) => {
  const { listener, port, door } = await start(t)
  const client = await RawClient.connect(port)
  await client.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n').receive('no body')
  t.equal(listener.connectionCount, 1)
  t.match(door.exchanges[0].client, { address: '127.0.0.1', secure: false, localPort: port })
  client.socket.destroy()
})

t.test('a listening handle from elsewhere is taken over', async (t) => {
  const owner = createServer().listen(0, '127.0.0.1')
  await once(owner, 'listening')
  t.teardown(() => owner.close())
  const { port, door } = await start(t, {}, {}, owner)
  t.equal(parseResponses(await exchangeRaw(port, REQUEST)).length, 1)
  t.equal(door.requests.length, 1)
})

t.test('running out of file descriptors neither ends nor spins the listener', async (t) => {
  const source = fileURLToPath(new URL('h1/support/short-of-descriptors.ts', import.meta.url))
  const script = `ulimit -n 60; exec "${process.execPath}" "${source}"`
  const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  t.teardown(() => child.kill())
  const [port] = await once(child, 'message')
  const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)))
  await Promise.race(clients.map((client) => client.until(() => client.ended || client.closed)))
  child.send('cpu')
  const [before] = await once(child, 'message')
  // The time is what is measured here: a spinning process would use all of it.
  await setTimeout(300)
  child.send('cpu')
  const [after] = await once(child, 'message')
  t.ok(after - before < 150, `${after - before} ms of CPU while the descriptors are used up`)
  for (const client of clients) client.socket.destroy()
  let answer = ''
  while (answer === '') answer = await exchangeRaw(port, REQUEST)
  t.equal(parseResponses(answer)[0].status, 200)
})

t.test('connections beyond the limits are closed at once', async (t) => {
  for (const limits of [{ maxConnections: 2 }, { maxConnectionsPerAddress: 2 }]) {
    const { listener, port } = await start(t, {}, limits)
    const held = [await RawClient.connect(port), await RawClient.connect(port)]
    for (const client of held) await client.send(REQUEST.replace('close', 'x')).receive('no body')
    const third = await RawClient.connect(port)
    await third.rest()
    t.equal(third.received, '')
    t.equal(listener.refusedCount, 1)
    held[0].socket.destroy()
    await held[1].send(REQUEST).rest()
    const fourth = await exchangeRaw(port, REQUEST)
    t.equal(parseResponses(fourth).length, 1)
  }
})

t.test('draining lets exchanges finish, closes idle connections and accepts no more', async (t) => {
  const { listener, port, door, advance } = await start(t)
  const idle = await RawClient.connect(port)
  await idle.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n').receive('no body')
  const drained: Promise<void>[] = []
  door.answer = (exchange) => {
    drained.push(listener.drain(10_000))
    setImmediate(() => respondText(exchange, 'finished'))
  }
  const [response] = parseResponses(await exchangeRaw(port, REQUEST.replace('close', 'x')))
  t.equal(response.body, 'finished')
  t.equal(response.fields.get('connection'), 'close')
  advance(1200)
  await idle.rest()
  await Promise.all(drained)
  t.equal(listener.connectionCount, 0)
  await t.rejects(once(connect(port, '127.0.0.1'), 'connect'))
})

t.test('a drain serves the connections that are in their handshake, once', async (t) => {
  const secure = await start(t, { secure: front(), http2: null })
  const raw = connect(secure.port, '127.0.0.1')
  while (secure.listener.connectionCount === 0) await new Promise(setImmediate)
  const drained = secure.listener.drain(10_000)
  const socket = connectTls({ socket: raw, servername: 'a.test', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const text = await requestOn(socket, REQUEST.replace('close', 'x'))
  t.match(text, /^HTTP\/1.1 200 [\s\S]*connection: close[\s\S]*no body/)
  await drained

  const proxied = await start(t, { proxyProtocol: { trusted: loopback } })
  const client = await RawClient.connect(proxied.port)
  while (proxied.listener.connectionCount === 0) await new Promise(setImmediate)
  const end = proxied.listener.drain(10_000)
  await client.send(`PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${REQUEST}`).receive('no body')
  client.socket.destroy()
  await end
})

t.test('what does not finish is cut at the deadline of the drain', async (t) => {
  const { listener, port, door, advance } = await start(t)
  const arrived = new Promise<void>((resolve) => {
    door.answer = () => resolve()
  })
  const client = await RawClient.connect(port)
  client.send(REQUEST)
  await arrived
  const drained = listener.drain(5000)
  advance(4900)
  t.equal(listener.connectionCount, 1)
  advance(300)
  await drained
  await client.rest()
  t.same(door.ends, [{ complete: false, bytesSent: 0 }])
})

t.test('the PROXY header names the client, in one piece or octet by octet', async (t) => {
  const { port, door } = await start(t, { proxyProtocol: { trusted: loopback } })
  const octets = `PROXY TCP4 192.0.2.1 198.51.100.7 8080 443\r\n${REQUEST}`
  await exchangeRaw(port, octets)
  const slow = await RawClient.connect(port)
  for (const octet of octets) {
    slow.send(octet)
    await new Promise(setImmediate)
  }
  await slow.rest()
  const expected = { address: '192.0.2.1', port: 8080, localPort: 443, peerAddress: '127.0.0.1' }
  t.equal(door.exchanges.length, 2)
  for (const { client } of door.exchanges) t.match(client, expected)
})

t.test('no PROXY header, a broken one, or one from a stranger closes the connection', async (t) => {
  const trusting = await start(t, { proxyProtocol: { trusted: loopback } })
  for (const octets of [REQUEST, 'PROXY TCP4 x y z\r\n', '\r\n\r\n\0\r\nQUIT\n\xff\xff\xff\xff']) {
    t.equal(await exchangeRaw(trusting.port, octets), '')
  }
  const silent = await RawClient.connect(trusting.port)
  silent.send('PROXY TCP4 192.0.2.1 ')
  while (trusting.listener.connectionCount === 0) await new Promise(setImmediate)
  trusting.advance(DEFAULT_LIMITS.headerTimeoutMs + 200)
  await silent.rest()
  t.equal(trusting.door.requests.length, 0)

  const strict = await start(t, { proxyProtocol: { trusted: nobody } })
  const known = `PROXY TCP4 192.0.2.1 198.51.100.7 8080 443\r\n${REQUEST}`
  t.equal(await exchangeRaw(strict.port, known), '')
  t.equal(strict.door.requests.length, 0)
})

t.test('TLS 1.2 and 1.3 are spoken, with the certificate of the name', async (t) => {
  const { port, door } = await start(t, { secure: front() })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await handshake(port, {
      servername: 'A.test',
      minVersion: version,
      maxVersion: version,
      ALPNProtocols: ['http/1.1'],
    })
    t.equal(socket.getPeerCertificate().subject.CN, 'a.test')
    t.equal(socket.alpnProtocol, 'http/1.1')
    t.match(await requestOn(socket), /no body/)
    const { client } = door.exchanges[door.exchanges.length - 1]
    t.match(client, { secure: true, serverName: 'a.test', tlsVersion: version })
    t.equal(door.exchanges[0].request.scheme, 'https')
  }
})

t.test(
  'a client without SNI gets the certificate for no name, one without ALPN HTTP/1.1',
  async (t) => {
    const { port, door } = await start(t, { secure: front() })
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const nameless = await handshake(port, {
        ALPNProtocols: ['http/1.1'],
        minVersion: version,
        maxVersion: version,
      })
      t.equal(nameless.getPeerCertificate().subject.CN, 'default')
      t.match(await requestOn(nameless), /no body/)
    }
    t.equal(door.exchanges[0].client.serverName, undefined)
    const plain = await handshake(port, { servername: 'a.test' })
    t.equal(plain.alpnProtocol, false)
    t.match(await requestOn(plain), /no body/)
  },
)

t.test('the certificate of the name is sent whatever key the one for no name has', async (t) => {
  const ec = selfSignedContext('ec.test')
  const rsa = selfSignedContext('rsa.test', 'rsa')
  for (const [nameless, named, expected] of [
    [ec, rsa, 'rsa.test'],
    [rsa, ec, 'ec.test'],
  ] as const) {
    const secure = createSecureFront({
      contextFor: (name) => (name === undefined ? nameless : named),
      alpn: ['http/1.1'],
    })
    const { port } = await start(t, { secure })
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { servername: 'a.test', minVersion: version, maxVersion: version }
      const socket = await handshake(port, options)
      t.equal(socket.getPeerCertificate().subject.CN, expected, `${expected}, ${version}`)
      socket.destroy()
    }
  }
})

t.test('h2 is preferred and goes to its engine', async (t) => {
  const seen: ClientFacts[] = []
  const { port } = await start(t, {
    secure: front(),
    http2(socket, client) {
      seen.push(client)
      socket.on('error', () => {})
      socket.end('h2 here')
      return { drain() {}, destroy: () => socket.destroy(), onClose: null }
    },
  })
  const socket = await handshake(port, {
    servername: 'a.test',
    ALPNProtocols: ['http/1.1', 'h2'],
  })
  t.equal(socket.alpnProtocol, 'h2')
  t.equal(String((await once(socket, 'data'))[0]), 'h2 here')
  t.equal(seen[0].serverName, 'a.test')
  socket.destroy()
})

t.test(
  'HTTP/2 by prior knowledge is for those that begin with its preface (RFC 9113 §3.3)',
  async (t) => {
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    for (const proxyProtocol of [null, { trusted: loopback }]) {
      const { port, door, advance, listener } = await start(t, {
        http2PriorKnowledge: true,
        proxyProtocol,
        http2(socket, _client, initialData) {
          socket.end(`h2 got ${initialData?.length}`)
          return { drain() {}, destroy: () => socket.destroy(), onClose: null }
        },
      })
      const header = proxyProtocol === null ? '' : 'PROXY TCP4 192.0.2.1 198.51.100.7 8080 443\r\n'
      t.equal(await exchangeRaw(port, `${header}${preface}123`), 'h2 got 27')
      const slow = await RawClient.connect(port)
      for (const octet of header + preface) {
        slow.send(octet)
        await new Promise(setImmediate)
      }
      t.equal(await slow.rest(), 'h2 got 24')
      for (const method of ['GET', 'POST', 'PRIX', 'PUT']) {
        const request = header + REQUEST.replace('GET', method)
        t.equal(parseResponses(await exchangeRaw(port, request))[0].status, 200, method)
      }
      t.equal(door.requests.length, 4)
      const silent = await RawClient.connect(port)
      silent.send(`${header}PRI * HTTP`)
      while (listener.connectionCount === 0) await new Promise(setImmediate)
      advance(DEFAULT_LIMITS.headerTimeoutMs + 200)
      t.equal(await silent.rest(), '')
    }
  },
)

t.test('limits are those of the moment a connection comes', async (t) => {
  let maxConnections = 1
  const { port } = await start(t, {
    get limits() {
      return { ...DEFAULT_LIMITS, maxConnections }
    },
  })
  const held = await RawClient.connect(port)
  await held.send(REQUEST.replace('close', 'x')).receive('no body')
  t.equal(await exchangeRaw(port, REQUEST), '')
  maxConnections = 2
  t.equal(parseResponses(await exchangeRaw(port, REQUEST)).length, 1)
  held.socket.destroy()
})

t.test('old versions, weak suites, unknown names and protocols are refused', async (t) => {
  const { listener, port } = await start(t, { secure: front() })
  const name = 'a.test'
  const refused: [string, ConnectionOptions, RegExp][] = [
    [
      'TLS 1.1',
      { servername: name, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' },
      /./,
    ],
    [
      'CBC',
      { servername: name, maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' },
      /HANDSHAKE_FAILURE/,
    ],
    [
      'RSA key exchange',
      { servername: name, maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' },
      /HANDSHAKE_FAILURE/,
    ],
    ['unknown name', { servername: 'unknown.test' }, /UNRECOGNIZED_NAME/],
    ['a store that throws', { servername: 'broken.test' }, /UNRECOGNIZED_NAME/],
    [
      'unknown protocol',
      { servername: name, ALPNProtocols: ['spdy/3'] },
      /NO_APPLICATION_PROTOCOL/,
    ],
  ]
  for (const [what, options, code] of refused) {
    await t.rejects(handshake(port, options), { code }, what)
  }
  const alive = await handshake(port, { servername: name })
  t.match(await requestOn(alive), /no body/)
  while (listener.connectionCount > 0) await new Promise(setImmediate)
})

t.test('a record that is not sound ends the connection', async (t) => {
  const { port, listener } = await start(t, { secure: front() })
  const raw = connect(port, '127.0.0.1')
  await once(raw, 'connect')
  const socket = connectTls({ socket: raw, servername: 'a.test', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  socket.on('error', () => {})
  raw.write(Buffer.from('1703030020'.padEnd(74, '0'), 'hex'))
  await once(raw, 'close')
  while (listener.connectionCount > 0) await new Promise(setImmediate)
})

t.test('renegotiation is refused', async (t) => {
  const { port } = await start(t, { secure: front() })
  const socket = await handshake(port, { servername: 'a.test', maxVersion: 'TLSv1.2' })
  const outcome = new Promise((resolve) => {
    socket.on('error', resolve)
    socket.on('close', resolve)
    socket.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error))
  })
  t.ok(await outcome)
  socket.destroy()
})

t.test('a session is resumed with a ticket from a worker that has the same keys', async (t) => {
  const fronts = [front(), front()]
  for (const secure of fronts) secure.setTicketKeys({ current: Buffer.alloc(48, 7), others: [] })
  const first = await start(t, { secure: fronts[0] })
  const second = await start(t, { secure: fronts[1] })
  const socket = await handshake(first.port, { servername: 'a.test' })
  const ticket = once(socket, 'session')
  const [session] = await ticket
  await requestOn(socket)
  const again = await handshake(second.port, { servername: 'a.test', session })
  t.equal(again.isSessionReused(), true)
  t.match(await requestOn(again), /no body/)
  fronts[1].setTicketKeys({ current: Buffer.alloc(48, 8), others: [] })
  const other = await handshake(second.port, { servername: 'a.test', session })
  t.equal(other.isSessionReused(), false)
  other.destroy()
})

t.test(
  'silent clients and halves of a ClientHello are cut when the handshake takes too long',
  async (t) => {
    const { listener, port, advance } = await start(t, { secure: front() })
    const silent = await RawClient.connect(port)
    const half = await RawClient.connect(port)
    half.send(Buffer.from('160301020001000101', 'hex'))
    while (listener.connectionCount < 2) await new Promise(setImmediate)
    advance(DEFAULT_LIMITS.tlsHandshakeTimeoutMs - 200)
    half.send(Buffer.from('fc', 'hex'))
    t.equal(listener.connectionCount, 2)
    advance(400)
    await silent.rest()
    await half.rest()
    t.equal(silent.received + half.received, '')
  },
)

t.test('TLS works behind a PROXY header that comes with the ClientHello', async (t) => {
  const { port, door } = await start(t, {
    secure: front(),
    proxyProtocol: { trusted: loopback },
  })
  const raw = connect(port, '127.0.0.1')
  await once(raw, 'connect')
  raw.write('PROXY TCP6 2001:db8::1 2001:db8::2 8080 443\r\n')
  const socket = connectTls({ socket: raw, servername: 'a.test', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  t.match(await requestOn(socket), /no body/)
  t.match(door.exchanges[0].client, { address: '2001:db8::1', secure: true, serverName: 'a.test' })
})

t.test('large hits and pipelining work under TLS', async (t) => {
  const { port, door } = await start(t, { secure: front() })
  const body = Buffer.alloc(700_000, 'abcdefghij\n')
  door.ready = (view) => (view.target === '/large' ? readyAnswer(body) : null)
  const socket = await handshake(port, { servername: 'a.test' })
  const large = 'GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n'
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.write(large + large + REQUEST)
  await once(socket, 'end')
  socket.destroy()
  t.same(
    parseResponses(text).map((response) => response.body.length),
    [body.length, body.length, 7],
  )
})

t.test('an aborted response under TLS is cut without harm', async (t) => {
  const { port, door } = await start(t, { secure: front() })
  door.answer = (exchange) => {
    const { fields } = exchange.request
    const writer = exchange.respondStreaming({ status: 200, fields: fields.without(() => true) })
    writer.write(Buffer.from('part'))
    setImmediate(() => exchange.abort())
  }
  const socket = await handshake(port, { servername: 'a.test' })
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write(REQUEST)
  await once(socket, 'close')
  t.throws(() => parseResponses(text))
})

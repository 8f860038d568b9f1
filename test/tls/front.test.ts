import { constants } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type ConnectionOptions, connect as connectTls, getCiphers, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { type EdgeOptions, type StartedProxy, startProxy } from '../support/edge.ts'
import { HandClock } from '../support/hand-clock.ts'
import { startScriptedOrigin } from '../support/scripted-origin.ts'

const TENANTS: EdgeOptions = {
  tenant: { id: 'one', hosts: ['one.test', '*.img.one.test'] },
  otherTenants: [
    {
      id: 'two',
      hosts: ['two.test', 'a.img.one.test'],
      origins: [{ url: 'http://127.0.0.1:9' }],
      certificate: 'self-signed',
    },
  ],
}

async function setUp(t: Test, options: EdgeOptions = TENANTS): Promise<StartedProxy> {
  const origin = await startScriptedOrigin(t, new HandClock())
  origin.answersElse((wire, request) => {
    const seen = request.fields.get('x-forwarded-for')
    wire.answer({ fields: { 'Cache-Control': 'no-store' }, body: `for ${seen}` })
  })
  return startProxy(t, origin.url, options)
}

interface Handshake {
  readonly socket: TLSSocket
  readonly error: string | undefined
}

/** A handshake with everything that OpenSSL can be made to offer. */
async function handshake(port: number, options: ConnectionOptions = {}): Promise<Handshake> {
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    servername: 'one.test',
    rejectUnauthorized: false,
    ...options,
  })
  let error: string | undefined
  socket.on('error', (cause: NodeJS.ErrnoException) => {
    error = cause.code
  })
  await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]).catch(() => {})
  return { socket, error }
}

t.test('TLS 1.2 and 1.3 are spoken, nothing older (RFC 8996)', async (t) => {
  const { https } = await setUp(t)
  for (const version of ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const) {
    const { socket, error } = await handshake(https, {
      minVersion: version,
      maxVersion: version,
      ciphers: 'ALL:@SECLEVEL=0',
    })
    const spoken = error === undefined ? socket.getProtocol() : null
    t.equal(spoken, version === 'TLSv1.2' || version === 'TLSv1.3' ? version : null, version)
    socket.destroy()
  }
})

t.test(
  'every suite has forward secrecy and authenticated encryption (RFC 9325 §4.2)',
  async (t) => {
    const { https } = await setUp(t)
    const accepted: string[] = []
    for (const name of getCiphers().map((cipher) => cipher.toUpperCase())) {
      const modern = name.startsWith('TLS_')
      const { socket, error } = await handshake(https, {
        ciphers: modern ? name : `${name}:@SECLEVEL=0`,
        maxVersion: modern ? 'TLSv1.3' : 'TLSv1.2',
        minVersion: modern ? 'TLSv1.3' : 'TLSv1.2',
      }).catch(() => ({ socket: null, error: 'not offered' }))
      if (error === undefined && socket !== null) accepted.push(socket.getCipher().standardName)
      socket?.destroy()
    }
    t.ok(accepted.length >= 5, accepted.join(' '))
    for (const name of accepted) {
      t.match(name, /^TLS_(ECDHE_(ECDSA|RSA)_WITH_)?(AES_(128|256)_GCM|CHACHA20_POLY1305)_SHA/)
    }
  },
)

t.test('renegotiation is refused, and the connection with it (RFC 9325 §3.5)', async (t) => {
  const { https } = await setUp(t)
  const { socket } = await handshake(https, { maxVersion: 'TLSv1.2' })
  const refused = await new Promise((resolve) => {
    socket.on('error', resolve)
    socket.on('close', resolve)
    socket.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error))
  })
  t.ok(refused !== null, String(refused))
})

t.test('ALPN chooses h2, then HTTP/1.1, and refuses what is neither (RFC 7301 §3.2)', async (t) => {
  const { https } = await setUp(t)
  const cases: [offered: string[], chosen: string | false | null][] = [
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1', 'h2'], 'h2'],
    [['http/1.1'], 'http/1.1'],
    [['spdy/3', 'http/1.1'], 'http/1.1'],
    [[], false],
    [['h2c'], null],
    [['H2'], null],
    [['h'], null],
    [['http/1.0'], null],
    [['acme-tls/1'], null],
  ]
  for (const [offered, chosen] of cases) {
    const { socket, error } = await handshake(https, { ALPNProtocols: offered })
    t.equal(error === undefined ? socket.alpnProtocol : null, chosen, offered.join(' '))
    socket.destroy()
  }
})

t.test(
  'the certificate is that of the name: exact, wildcard for one label, or none (RFC 6066 §3)',
  async (t) => {
    const { https } = await setUp(t)
    const cases: [servername: string, tenant: 'one' | 'two' | null][] = [
      ['one.test', 'one'],
      ['ONE.test', 'one'],
      ['b.img.one.test', 'one'],
      ['two.test', 'two'],
      ['a.img.one.test', 'two'],
      ['a.b.img.one.test', null],
      ['img.one.test', null],
      ['www.one.test', null],
      ['one.test.evil.test', null],
      ['xone.test', null],
      ['*.img.one.test', null],
      ['*', null],
      ['__proto__', null],
      ['constructor', null],
      ['', null],
    ]
    for (const [servername, tenant] of cases) {
      const { socket, error } = await handshake(https, { servername })
      const names = error === undefined ? (socket.getPeerCertificate().subjectaltname ?? '') : ''
      const shown = names.includes('two.test') ? 'two' : names.includes('one.test') ? 'one' : null
      t.equal(shown, tenant, `${servername}: ${names}${error ?? ''}`)
      socket.destroy()
    }
  },
)

t.test('names that no host has harm nobody', async (t) => {
  const { https } = await setUp(t)
  const hostile = [
    'a'.repeat(250),
    'a\0b.test',
    '..',
    '.',
    'one.test\0.evil.test',
    '-',
    '\u00e4.test',
  ]
  for (const servername of hostile) {
    const { socket } = await handshake(https, { servername }).catch(() => ({ socket: null }))
    socket?.destroy()
  }
  const { socket, error } = await handshake(https)
  t.equal(error, undefined)
  socket.destroy()
})

t.test('a new certificate is for the next handshake, and no connection ends for it', async (t) => {
  const proxy = await setUp(t)
  const before = await handshake(proxy.https)
  const first = before.socket.getPeerCertificate().fingerprint256
  await proxy.reconfigure({ ...TENANTS, tenant: { id: 'renewed', hosts: ['one.test'] } })
  const after = await handshake(proxy.https)
  t.not(after.socket.getPeerCertificate().fingerprint256, first)
  before.socket.write('GET /a HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n')
  const [answer] = await once(before.socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 200 /)
  after.socket.destroy()
})

t.test('500 handshakes while certificates change all succeed', async (t) => {
  const proxy = await setUp(t)
  let failed = 0
  const client = async () => {
    for (let i = 0; i < 50; i++) {
      const { socket, error } = await handshake(proxy.https)
      if (error !== undefined) failed++
      socket.destroy()
    }
  }
  const changing = async () => {
    for (let i = 0; i < 10; i++) {
      const id = i % 2 === 0 ? 'renewed' : 'one'
      await proxy.reconfigure({ ...TENANTS, tenant: { id, hosts: ['one.test'] } })
      await client()
    }
  }
  await Promise.all([changing(), ...Array.from({ length: 4 }, client)])
  t.equal(failed, 0)
})

t.test('IPv6 is served like IPv4, and named as the standards say (RFC 7239 §6)', async (t) => {
  const proxy = await setUp(t)
  const port = await proxy.listen('https', '::1')
  const { socket, error } = await handshake(port, { host: '::1' })
  t.equal(error, undefined)
  socket.write('GET /a HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  t.match(text, /for ::1$/)
})

/** Version 2, PROXY, TCP over IPv4, from 192.0.2.7:4711 to 192.0.2.1:443. */
const VERSION_2 = Buffer.concat([
  Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
  Buffer.from([0x21, 0x11, 0, 12, 192, 0, 2, 7, 192, 0, 2, 1]),
  Buffer.from([4711 >> 8, 4711 & 255, 443 >> 8, 443 & 255]),
])

t.test('a PROXY header ahead of TLS names the client, in both versions', async (t) => {
  const proxy = await setUp(t, { ...TENANTS, trustedProxies: ['127.0.0.0/8'] })
  const port = await proxy.listen('https', '127.0.0.1', true)
  for (const header of ['PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n', VERSION_2]) {
    const socket = connect(port, '127.0.0.1')
    socket.write(header)
    const secured = await handshake(port, { socket })
    t.equal(secured.error, undefined)
    secured.socket.write('GET /a HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n')
    let text = ''
    for await (const chunk of secured.socket) text += chunk
    t.match(text, /for (127\.0\.0\.1, )?192\.0\.2\.7$/)
  }
})

t.test('without the PROXY header that its listener asks for, a connection is closed', async (t) => {
  const proxy = await setUp(t, { ...TENANTS, trustedProxies: ['127.0.0.0/8'] })
  const port = await proxy.listen('https', '127.0.0.1', true)
  const { socket, error } = await handshake(port)
  t.ok(error !== undefined || socket.destroyed)
})

t.test(
  'records are not compressed, and a client cannot ask for weak keys (RFC 9325 §3.3)',
  async (t) => {
    const { https } = await setUp(t)
    const { socket, error } = await handshake(https, {
      maxVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_ALL & ~constants.SSL_OP_NO_COMPRESSION,
    })
    t.equal(error, undefined)
    const key = socket.getEphemeralKeyInfo()
    t.match(key, { type: 'ECDH' })
    t.ok(key !== null && 'size' in key && key.size >= 253, 'X25519 or P-256 at least')
    socket.destroy()
    const weak = await handshake(https, { ecdhCurve: 'secp192k1' }).catch(() => null)
    t.ok(weak === null || weak.error !== undefined, 'a curve of 192 bits')
  },
)

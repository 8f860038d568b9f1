import { once } from 'node:events'
import { createServer } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type ClientHello, MAX_HELLO_BYTES, parseClientHello } from './client-hello.ts'

/** What OpenSSL sends first. */
async function helloOf(t: Test, options: ConnectionOptions): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const client = connect({ port, host: '127.0.0.1', ...options })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [bytes] = await once(socket, 'data')
  client.destroy()
  socket.destroy()
  return bytes
}

/** A hello in records of `size` octets each. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    const piece = message.subarray(at, at + size)
    records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]), piece)
  }
  return Buffer.concat(records)
}

const EXTENSIONS_AT = 4 + 34 + 1 + 2 + 2 + 1 + 1

/** The least that is a hello, with these extensions. */
function helloWith(...extensions: [type: number, content: Buffer][]): Buffer {
  const all = Buffer.concat(
    extensions.map(([type, content]) => {
      const head = Buffer.from([type >> 8, type & 255, content.length >> 8, content.length & 255])
      return Buffer.concat([head, content])
    }),
  )
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 1),
    Buffer.from([0, 0, 2, 0x13, 1, 1, 0, all.length >> 8, all.length & 255]),
    all,
  ])
  const message = Buffer.concat([Buffer.from([1, 0, body.length >> 8, body.length & 255]), body])
  return Buffer.concat([
    Buffer.from([22, 3, 1, message.length >> 8, message.length & 255]),
    message,
  ])
}

function serverNames(...names: string[]): [number, Buffer] {
  const list = Buffer.concat(
    names.map((name) => Buffer.from(`\0\0${String.fromCharCode(name.length)}${name}`, 'latin1')),
  )
  return [0, Buffer.concat([Buffer.from([list.length >> 8, list.length & 255]), list])]
}

t.test('name and protocols are those that OpenSSL was told, in both versions', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const full = await helloOf(t, {
      servername: 'WWW.Example.test',
      ALPNProtocols: ['h2', 'acme-tls/1'],
      maxVersion,
    })
    const expected = {
      kind: 'hello',
      serverName: 'www.example.test',
      protocols: ['h2', 'acme-tls/1'],
    }
    t.match(parseClientHello(full), expected, maxVersion)
    t.match(parseClientHello(Buffer.concat([full, Buffer.from('more')])), expected)
    const bare = await helloOf(t, { servername: '', maxVersion })
    t.match(parseClientHello(bare), { kind: 'hello', serverName: undefined, protocols: [] })
    const signatures = 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha384:ed25519'
    const named = parseClientHello(await helloOf(t, { sigalgs: signatures, maxVersion }))
    t.match(named, { signatures: ['ECDSA+SHA256', 'RSA-PSS+SHA384'] })
  }
})

t.test('a hello may come in as many pieces and records as it likes (RFC 8446 §5.1)', async (t) => {
  const hello = await helloOf(t, { servername: 'a.test', ALPNProtocols: ['h2'] })
  const whole = parseClientHello(hello)
  for (const size of [1, 3, 4, 100, hello.length]) {
    const records = inRecords(hello, size)
    for (let length = 0; length < records.length; length++) {
      const { kind } = parseClientHello(records.subarray(0, length))
      if (kind !== 'more') t.fail(`${kind} after ${length} octets in records of ${size}`)
    }
    t.same(parseClientHello(records), whole, `records of ${size}`)
  }
})

t.test('what no client sends is refused', async (t) => {
  const name = serverNames('a.test')
  const alpn = (content: number[]): [number, Buffer] => [16, Buffer.from(content)]
  t.match(parseClientHello(helloWith(name)), { kind: 'hello', serverName: 'a.test' })
  const rows: [what: string, bytes: Buffer, alert: number | undefined][] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), undefined],
    ['SSL 2', Buffer.from('802e0100020015', 'hex'), undefined],
    ['another handshake message', Buffer.from('16030100040200000000', 'hex'), 10],
    ['an alert behind the first record', Buffer.from('16030100011515030100020100', 'hex'), 10],
    ['a record without content', Buffer.from('1603010000', 'hex'), 50],
    ['a record that is too long', Buffer.from('1603014001', 'hex'), 50],
    ['a message without an end', Buffer.from('160301000401ffffff', 'hex'), 47],
    ['two names', helloWith(serverNames('a.test', 'b.test')), 50],
    ['an empty name', helloWith(serverNames('')), 50],
    ['an empty list of names', helloWith([0, Buffer.from([0, 0])]), 50],
    ['the same extension twice', helloWith(name, name), 47],
    ['octets behind the name', helloWith([0, Buffer.concat([name[1], Buffer.from([0])])]), 50],
    ['no protocols', helloWith(alpn([0, 0])), 50],
    ['an empty protocol', helloWith(alpn([0, 1, 0])), 50],
    ['a protocol that is cut', helloWith(alpn([0, 2, 5, 65])), 50],
  ]
  const cut = helloWith(name)
  cut[5 + EXTENSIONS_AT + 1]++
  rows.push(['extensions that are cut', cut, 50])
  for (const [what, bytes, alert] of rows) {
    t.same(parseClientHello(bytes), { kind: 'invalid', alert }, what)
  }
})

t.test('what is read ahead has a bound, however small its records', async (t) => {
  const start = Buffer.from([1, 0, MAX_HELLO_BYTES >> 8, 0])
  const endless = inRecords(Buffer.concat([Buffer.alloc(5), start, Buffer.alloc(16_000)]), 1)
  let kind: ClientHello['kind'] = 'more'
  let length = 0
  while (kind === 'more' && length < endless.length) {
    length += 1000
    kind = parseClientHello(endless.subarray(0, length)).kind
  }
  t.equal(kind, 'invalid')
  t.ok(length < 50_000, `${length} octets`)
})

t.test('no octets bring it down', async (t) => {
  const hello = await helloOf(t, { servername: 'a.test', ALPNProtocols: ['h2', 'http/1.1'] })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.nat(hello.length),
      (changes, length) => {
        const bytes = Buffer.from(hello)
        for (const [at, octet] of changes) bytes[at] = octet
        const result = parseClientHello(bytes.subarray(0, length))
        return ['more', 'invalid', 'hello'].includes(result.kind)
      },
    ),
    { numRuns: 5000, seed: 11 },
  )
  t.pass('5000 of them')
})

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls'
import t, { type Test } from 'tap'
import { selfSignedContext, selfSignedPair } from './h1/support/self-signed.ts'
import { createSecureFront, type SecureFrontOptions } from './tls-front.ts'
import { contextOptions, type TlsPolicyName } from './tls-policy.ts'

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const

/** A front that tells each client what it knows of its connection, and closes. */
async function serve(t: Test, options: Partial<SecureFrontOptions>) {
  const accepted: Socket[] = []
  const front = createSecureFront({
    contextFor: () => null,
    alpn: ['h2', 'http/1.1'],
    ...options,
  })
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket)
    socket.on('error', () => {})
    front.handshake(socket, (secured, client) => {
      secured.on('error', () => {})
      secured.end(JSON.stringify({ ...client, resumed: secured.isSessionReused() }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of accepted) socket.destroy()
  })
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo
  return { front, port, accepted }
}

interface Met {
  /** What the front said; undefined when it refused. */
  readonly told: { serverName?: string; resumed: boolean } | undefined
  readonly session: Buffer | undefined
  readonly error: string
  readonly commonName: string | string[] | undefined
  readonly protocol: string | false | null
}

async function meet(port: number, options: ConnectionOptions = {}): Promise<Met> {
  const socket: TLSSocket = connect({
    port,
    host: '127.0.0.1',
    servername: 'a.test',
    rejectUnauthorized: false,
    ...options,
  })
  let text = ''
  let session: Buffer | undefined
  let error = ''
  let commonName: Met['commonName']
  let protocol: Met['protocol'] = null
  socket.on('session', (ticket: Buffer) => {
    session = ticket
  })
  socket.on('secureConnect', () => {
    commonName = socket.getPeerCertificate().subject?.CN
    protocol = socket.alpnProtocol
    // A resumed session of TLS 1.2 has no event for its new ticket.
    if (socket.getProtocol() === 'TLSv1.2') session = socket.getSession()
  })
  socket.on('error', (cause: NodeJS.ErrnoException) => {
    error = String(cause.code)
  })
  socket.on('data', (chunk) => {
    text += chunk
  })
  await once(socket, 'close').catch(() => {})
  return { told: text === '' ? undefined : JSON.parse(text), session, error, commonName, protocol }
}

const context = selfSignedContext('a.test')

t.test('a certificate that has to be fetched is waited for', async (t) => {
  const { port } = await serve(t, {
    contextFor: (name) => new Promise((resolve) => setImmediate(resolve, name ? context : null)),
  })
  for (const maxVersion of VERSIONS) {
    t.match(await meet(port, { maxVersion }), { told: { serverName: 'a.test' }, error: '' })
    t.match(await meet(port, { maxVersion, servername: '' }), { error: /MISSING|HANDSHAKE/ })
  }
})

t.test('a store that fails refuses the handshake, whichever way it fails', async (t) => {
  const warned: Error[] = []
  const onWarning = (warning: Error) => warned.push(warning)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const { port } = await serve(t, {
    contextFor(name) {
      if (name === 'a.test') throw new Error('thrown by the store')
      return Promise.reject(new Error('rejected by the store'))
    },
  })
  t.match(await meet(port), { error: /UNRECOGNIZED_NAME/ })
  t.match(await meet(port, { servername: 'b.test' }), { error: /UNRECOGNIZED_NAME/ })
  await new Promise(setImmediate)
  t.same(
    warned.map(({ message }) => message).filter((message) => /by the store/.test(message)),
    ['thrown by the store', 'rejected by the store'],
  )
})

t.test('who leaves while the certificate is fetched leaves nothing behind', async (t) => {
  let found: (context: SecureContext | null) => void = () => {}
  const asked = new Promise<void>((resolve) => {
    t.teardown(() => found(null))
    void serve(t, {
      contextFor() {
        resolve()
        return new Promise((resolve) => {
          found = resolve
        })
      },
    }).then(async ({ port, accepted }) => {
      const client = connect({ port, host: '127.0.0.1', servername: 'a.test' })
      client.on('error', () => {})
      await asked
      client.destroy()
      const [socket] = accepted
      // As the deadline of a handshake does.
      socket.destroy()
      await once(socket, 'close')
      found(context)
      await new Promise(setImmediate)
      t.equal(socket.listenerCount('readable'), 0)
      t.ok(socket.destroyed)
      left()
    })
  })
  let left: () => void = () => {}
  const hasLeft = new Promise<void>((resolve) => {
    left = resolve
  })
  await hasLeft
})

t.test('ECDSA and RSA for the same name: the client gets what it can verify', async (t) => {
  const pairs = [selfSignedPair('ec.test'), selfSignedPair('rsa.test', 'rsa')]
  const both = createSecureContext({
    ...contextOptions('intermediate', 300),
    cert: pairs.map(({ certPem }) => certPem),
    key: pairs.map(({ keyPem }) => keyPem),
  })
  const { port } = await serve(t, { contextFor: () => both })
  for (const maxVersion of VERSIONS) {
    const ecdsa = { maxVersion, sigalgs: 'ecdsa_secp256r1_sha256' }
    t.equal((await meet(port, ecdsa)).commonName, 'ec.test', maxVersion)
    const rsa = { maxVersion, sigalgs: 'rsa_pss_rsae_sha256' }
    t.equal((await meet(port, rsa)).commonName, 'rsa.test', maxVersion)
    t.equal((await meet(port, { maxVersion })).commonName, 'ec.test', `${maxVersion}: either`)
  }
})

t.test('a session outlives two rotations of its key, and no more (RFC 5077 §5.5)', async (t) => {
  const keys = Array.from({ length: 5 }, () => randomBytes(48))
  const here = await serve(t, { contextFor: () => context })
  const there = await serve(t, { contextFor: () => selfSignedContext('other.test') })
  for (const maxVersion of VERSIONS) {
    for (const { front } of [here, there]) front.setTicketKeys({ current: keys[0], others: [] })
    const { session, told } = await meet(here.port, { maxVersion })
    t.equal(told?.resumed, false)
    const rows: [what: string, current: number, others: number[], resumed: boolean][] = [
      ['the same key, another worker', 0, [], true],
      ['one that is ahead', 1, [0], true],
      ['two rotations later', 2, [1, 0, 3], true],
      ['one that is behind', 4, [0], true],
      ['three rotations later', 3, [2, 1, 4], false],
    ]
    for (const [what, current, others, resumed] of rows) {
      there.front.setTicketKeys({
        current: keys[current],
        others: others.map((index) => keys[index]),
      })
      const again = await meet(there.port, { maxVersion, session })
      t.match(again, { told: { serverName: 'a.test', resumed } }, `${maxVersion}: ${what}`)
      if (!resumed || current === 0) continue
      // The new ticket is of the key that seals now (RFC 5077 §3.1).
      there.front.setTicketKeys({ current: keys[current], others: [] })
      const renewed = await meet(there.port, { maxVersion, session: again.session })
      t.equal(renewed.told?.resumed, true, `${maxVersion}: ${what}, with its new ticket`)
    }
  }
})

t.test('a ticket that was changed is no ticket', async (t) => {
  const { port } = await serve(t, { contextFor: () => context })
  const { session } = await meet(port, { maxVersion: 'TLSv1.2' })
  const other = await serve(t, { contextFor: () => context })
  const { told } = await meet(other.port, { maxVersion: 'TLSv1.2', session })
  t.equal(told?.resumed, false, 'keys of a front that was given none are its own')
})

t.test(
  'a validation by TLS-ALPN-01 gets its certificate, and nobody else (RFC 8737)',
  async (t) => {
    const challenge = selfSignedContext('challenge')
    let pending = true
    let questions = 0
    const { port } = await serve(t, {
      contextFor: () => context,
      challenges: {
        hasChallenges: () => pending,
        challengeContextFor(name) {
          questions++
          if (name === 'broken.test') throw new Error('the board is broken')
          return name === 'a.test' ? challenge : null
        },
      },
    })
    const only = { ALPNProtocols: ['acme-tls/1'] }
    for (const maxVersion of VERSIONS) {
      const validated = await meet(port, { ...only, maxVersion })
      t.match(validated, { commonName: 'challenge', protocol: 'acme-tls/1', told: undefined })
      t.equal(validated.error, '', 'closed in an orderly way')
    }
    t.match(await meet(port, { ...only, servername: 'b.test' }), { error: /UNRECOGNIZED_NAME/ })
    t.match(await meet(port, { ...only, servername: 'broken.test' }), {
      error: /UNRECOGNIZED_NAME/,
    })
    t.match(await meet(port, { ALPNProtocols: ['acme-tls/1', 'h2'] }), {
      commonName: 'a.test',
      protocol: 'h2',
    })
    t.match(await meet(port, { ALPNProtocols: ['http/1.1'] }), { commonName: 'a.test' })
    pending = false
    questions = 0
    t.match(await meet(port, only), { error: /NO_APPLICATION_PROTOCOL/ })
    t.equal(questions, 0)
  },
)

t.test('a hello octet by octet is a hello; octets that are none get their alert', async (t) => {
  const { port } = await serve(t, { contextFor: () => context })
  const recorder = createServer()
  recorder.listen(0, '127.0.0.1')
  await once(recorder, 'listening')
  t.teardown(() => recorder.close())
  // A server that listens on TCP has an address with a port.
  const client = connect({
    port: (recorder.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: 'a.test',
  })
  client.on('error', () => {})
  const [recorded] = await once(recorder, 'connection')
  const [hello]: Buffer[] = await once(recorded, 'data')
  recorded.destroy()
  const slow = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  await once(slow, 'connect')
  for (const octet of hello) slow.write(Buffer.from([octet]))
  const [answer]: Buffer[] = await once(slow, 'data')
  t.equal(answer[0], 22, 'a handshake record')
  slow.destroy()
  for (const [bytes, expected] of [
    [Buffer.from('16030100011515030100020100', 'hex'), Buffer.from('1503030002020a', 'hex')],
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(0)],
  ] as const) {
    const raw = connectTcp(port, '127.0.0.1')
    const chunks: Buffer[] = []
    raw.on('data', (chunk: Buffer) => chunks.push(chunk))
    raw.on('error', () => {})
    raw.write(bytes)
    await once(raw, 'close')
    t.same(Buffer.concat(chunks), expected)
  }
})

t.test('the policy decides on versions, suites and key exchange', async (t) => {
  const policies: Record<TlsPolicyName, Record<string, boolean>> = {
    modern: { 'TLSv1.2': false, 'TLSv1.3': true },
    intermediate: { 'TLSv1.2': true, 'TLSv1.3': true },
  }
  const { certPem, keyPem } = selfSignedPair('a.test')
  for (const name of ['modern', 'intermediate'] as const) {
    const options = { ...contextOptions(name, 300), cert: certPem, key: keyPem }
    const context = createSecureContext(options)
    const { port } = await serve(t, { contextFor: () => context })
    for (const maxVersion of VERSIONS) {
      const { told } = await meet(port, { maxVersion })
      t.equal(told !== undefined, policies[name][maxVersion], `${name}, ${maxVersion}`)
    }
    for (const [group, good] of [
      ['X25519MLKEM768', true],
      ['X25519', true],
      ['prime256v1', true],
      ['secp384r1', true],
      ['secp521r1', false],
      ['X448', false],
      ['ffdhe2048', false],
    ] as const) {
      const { told } = await meet(port, { ecdhCurve: group, minVersion: 'TLSv1.3' })
      t.equal(told !== undefined, good, `${name}, ${group}`)
    }
  }
})

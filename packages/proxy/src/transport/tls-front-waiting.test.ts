import { once } from 'node:events'
import { type AddressInfo, connect as connectPlain, createServer } from 'node:net'
import { connect, type SecureContext } from 'node:tls'
import t, { type Test } from 'tap'
import { selfSignedContext } from './h1/support/self-signed.ts'
import { createSecureFront } from './tls-front.ts'

/** A certificate that has to be waited for, as a worker's that asks the primary. */

async function start(
  t: Test,
  contextFor: (name: string | undefined) => Promise<SecureContext | null>,
): Promise<number> {
  const front = createSecureFront({ contextFor, alpn: ['http/1.1'] })
  // Half-open, as the listener's.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    // As the listener does.
    socket.on('error', () => {})
    front.handshake(socket, (secured) => secured.end('secured'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  // A server that listens on TCP has an address with a port.
  return (server.address() as AddressInfo).port
}

async function seen(port: number, servername: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false })
  const [text] = await once(socket, 'data')
  const { CN } = socket.getPeerCertificate().subject
  socket.destroy()
  return `${CN} ${text}`
}

t.test('the handshake goes on when the certificate comes, with and without a name', async (t) => {
  const [named, nameless] = [selfSignedContext('a.test'), selfSignedContext('nobody')]
  const turn = () => new Promise(setImmediate)
  const port = await start(t, async (name) => {
    await turn()
    return name === undefined ? nameless : named
  })
  t.equal(await seen(port, 'a.test'), 'a.test secured')
  t.equal(await seen(port, ''), 'nobody secured')
})

t.test('no certificate after all refuses with unrecognized_name', async (t) => {
  const port = await start(t, async () => null)
  await t.rejects(seen(port, 'a.test'), { code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' })
})

t.test('a client that leaves while it waits costs nothing but itself', async (t) => {
  const gate = Promise.withResolvers<SecureContext | null>()
  const asked = Promise.withResolvers<void>()
  const named = selfSignedContext('a.test')
  let isOpen = false
  const port = await start(t, async (name) => {
    if (name === undefined) return null
    asked.resolve()
    return isOpen ? named : gate.promise
  })
  const leaving = connect({ port, host: '127.0.0.1', servername: 'a.test' })
  leaving.on('error', () => {})
  await asked.promise
  leaving.destroy()
  const silent = connectPlain(port, '127.0.0.1')
  await once(silent, 'connect')
  silent.resetAndDestroy()
  isOpen = true
  gate.resolve(named)
  t.equal(await seen(port, 'a.test'), 'a.test secured')
})

/** What a client says first. */
async function helloFor(t: Test, servername: string): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const client = connect({ port, host: '127.0.0.1', servername })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [hello] = await once(socket, 'data')
  client.destroy()
  return hello
}

t.test('a client that ends within the handshake is let go at once', async (t) => {
  const port = await start(t, async () => selfSignedContext('a.test'))
  const socket = connectPlain({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.write(await helloFor(t, 'a.test'))
  await once(socket, 'data')
  socket.end()
  // Nothing else would end it here: the deadline of the handshake is the listener's.
  await once(socket, 'close')
})

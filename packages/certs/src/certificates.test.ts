import { mkdtempSync, rmSync, statSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import t from 'tap'
import {
  CertificateStore,
  checkPair,
  coversName,
  DevelopmentAuthority,
  expiryWarning,
} from './index.ts'
import { createAuthority, issueCertificate } from './self-signed.ts'

const NOW = Date.now()
const DAY_MS = 86_400_000

t.test('a client that trusts the authority accepts a leaf for its names', async (t) => {
  const authority = await createAuthority(NOW)
  const leaf = await issueCertificate(authority, ['localhost', '127.0.0.1', '*.a.test'], NOW)
  const store = new CertificateStore({ unknownServerName: 'refuse' }, [
    { ...leaf, names: ['*.a.test', 'localhost'] },
  ])
  const server = createServer({
    SNICallback: (name, done) => {
      const context = store.contextFor(name)
      if (context === null) done(new Error('unknown name'))
      else done(null, context)
    },
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo
  const handshake = (servername: string) =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', servername, ca: authority.certPem }, () => {
        resolve(socket.authorized)
        socket.destroy()
      })
      socket.on('error', () => resolve(false))
    })
  t.equal(await handshake('localhost'), true)
  t.equal(await handshake('www.a.test'), true)
  t.equal(await handshake('a.test'), false, 'a wildcard is not for the bare name')
  t.equal(await handshake('other.test'), false, 'an unknown name is refused')
})

t.test('names are found exact first, then by wildcard of one label, then by *', async (t) => {
  const authority = await createAuthority(NOW)
  const pairs = await Promise.all(
    ['exact', 'wild', 'rest'].map((name) => issueCertificate(authority, [`${name}.test`], NOW)),
  )
  const [exact, wild, rest] = pairs
  const store = new CertificateStore({ unknownServerName: 'refuse' }, [
    { ...exact, names: ['www.a.test'] },
    { ...wild, names: ['*.a.test'] },
  ])
  const exactContext = store.contextFor('www.a.test')
  const wildContext = store.contextFor('img.a.test')
  t.ok(exactContext)
  t.ok(wildContext)
  t.not(exactContext, wildContext)
  t.equal(store.contextFor('WWW.A.test.'), exactContext, 'case and final dot do not matter')
  for (const name of ['x.y.a.test', 'a.test', '.a.test', '', '*', '__proto__', undefined]) {
    t.equal(store.contextFor(name), null, `${name} is refused`)
  }
  store.replaceAll([
    { ...exact, names: ['www.a.test'] },
    { ...rest, names: ['*'] },
  ])
  t.equal(store.contextFor('www.a.test'), exactContext, 'an unchanged pair keeps its context')
  t.ok(store.contextFor('unheard.of'))
  t.ok(store.contextFor(undefined))
})

t.test('with unknownServerName default, the first certificate answers unknown names', async (t) => {
  const authority = await createAuthority(NOW)
  const pair = await issueCertificate(authority, ['a.test'], NOW)
  const store = new CertificateStore({ unknownServerName: 'default' }, [
    { ...pair, names: ['a.test'] },
  ])
  t.equal(store.contextFor('other.test'), store.contextFor('a.test'))
})

t.test('a pair that OpenSSL refuses is told once and never throws', async (t) => {
  const errors: unknown[] = []
  const store = new CertificateStore(
    { unknownServerName: 'refuse', onError: (error) => errors.push(error) },
    [{ certPem: 'no', keyPem: 'no', names: ['a.test'] }],
  )
  t.equal(store.contextFor('a.test'), null)
  t.equal(store.contextFor('a.test'), null)
  t.equal(errors.length, 1)
})

t.test('a key of another certificate is named with its file', async (t) => {
  const authority = await createAuthority(NOW)
  const leaf = await issueCertificate(authority, ['a.test'], NOW)
  const good = checkPair(leaf, 'a.crt', 'a.key')
  t.ok(good.ok)
  const mixed = { certPem: leaf.certPem, keyPem: authority.keyPem }
  t.match(checkPair(mixed, 'a.crt', 'b.key'), { ok: false, in: 'key', message: /'b.key' does not/ })
  t.match(checkPair({ ...leaf, certPem: 'x' }, 'a.crt', 'a.key'), { ok: false, in: 'certificate' })
  t.match(checkPair({ ...leaf, keyPem: 'x' }, 'a.crt', 'a.key'), { ok: false, in: 'key' })
})

t.test('expiry is told before it comes', async (t) => {
  const leaf = await issueCertificate(await createAuthority(NOW), ['a.test', '*.b.test'], NOW)
  const check = checkPair(leaf, 'a.crt', 'a.key')
  if (!check.ok) throw new Error(check.message)
  t.equal(expiryWarning(check.facts, 'a.crt', NOW), undefined)
  t.match(expiryWarning(check.facts, 'a.crt', NOW + 360 * DAY_MS), /expires on .* in \d days/)
  t.match(expiryWarning(check.facts, 'a.crt', NOW + 400 * DAY_MS), /expired on/)
  t.match(expiryWarning(check.facts, 'a.crt', NOW - 2 * DAY_MS), /not valid before/)
  t.ok(coversName(check.facts, 'x.b.test'))
  t.notOk(coversName(check.facts, 'b.test'))
})

t.test(
  'the development authority keeps its certificates, readable by the owner only',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'larder-authority-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const authority = new DevelopmentAuthority(folder)
    const first = await authority.certificateFor('acme', ['www.acme.test', '*'])
    const again = await new DevelopmentAuthority(folder).certificateFor('acme', ['www.acme.test'])
    t.equal(again.certPem, first.certPem)
    t.equal(statSync(join(folder, 'acme.key')).mode & 0o777, 0o600)
    const other = await authority.certificateFor('acme', ['www.acme.test', 'new.acme.test'])
    t.not(other.certPem, first.certPem, 'a new host needs a new certificate')
    const later = new DevelopmentAuthority(folder, () => NOW + 360 * DAY_MS)
    const renewed = await later.certificateFor('acme', ['www.acme.test'])
    t.not(renewed.certPem, other.certPem, 'an old one is renewed in time')
  },
)

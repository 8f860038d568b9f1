import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  checkPair,
  coversName,
  DevelopmentAuthority,
  expiryWarning,
  KeyRing,
  parseSealKeys,
  validityProblem,
} from './index.ts'
import { createAuthority, createSigningRequest, issueCertificate } from './self-signed.ts'

const NOW = Date.now()
const DAY_MS = 86_400_000

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

t.test('what cannot be served is refused with the file, the reason and the cure', async (t) => {
  const authority = await createAuthority(NOW)
  const [leaf, other] = await Promise.all([
    issueCertificate(authority, ['a.test'], NOW),
    issueCertificate(await createAuthority(NOW), ['a.test'], NOW),
  ])
  const first = leaf.certPem.slice(0, leaf.certPem.indexOf('-----END CERTIFICATE-----') + 25)
  const stranger = other.certPem.slice(other.certPem.lastIndexOf('-----BEGIN'))
  t.ok(checkPair({ ...leaf, certPem: first }, 'a.crt', 'a.key').ok, 'a leaf alone')
  t.ok(checkPair(authority, 'a.crt', 'a.key').ok, 'a self-signed one alone')
  const wrongChain = { ...leaf, certPem: `${first}\n${stranger}` }
  t.match(checkPair(wrongChain, 'a.crt', 'a.key'), {
    in: 'certificate',
    message: /'a\.crt' does not verify: certificate 2 .* has not signed certificate 1 .*Put behind/,
  })
  for (const [type, options, said] of [
    ['rsa', { modulusLength: 1024 }, /1024 bits.*too weak.*2048/],
    ['ed25519', {}, /ed25519.*P-256/],
    ['ec', { namedCurve: 'secp256k1' }, /secp256k1.*P-256/],
  ] as const) {
    const weak = await selfSigned(t.testdir({}), type, options)
    t.match(checkPair(weak, 'a.crt', 'a.key'), { ok: false, in: 'key', message: said }, type)
  }
  const check = checkPair(leaf, 'a.crt', 'a.key')
  if (!check.ok) throw new Error(check.message)
  t.match(check.facts, { keyKind: 'ecdsa', serial: /^[0-9a-f]{32}$/ })
  t.equal(validityProblem(check.facts, 'a.crt', NOW), undefined)
  t.match(validityProblem(check.facts, 'a.crt', NOW + 400 * DAY_MS), /'a\.crt' expired on .* Renew/)
  t.match(validityProblem(check.facts, 'a.crt', NOW - 2 * DAY_MS), /not valid before .* clock/)
})

/** By openssl: no library here makes what is refused. */
async function selfSigned(
  folder: string,
  type: string,
  options: Readonly<Record<string, unknown>>,
): Promise<{ certPem: string; keyPem: string }> {
  const [certFile, keyFile] = [join(folder, 'weak.crt'), join(folder, 'weak.key')]
  const words = Object.entries(options).flatMap(([name, value]) => [
    '-pkeyopt',
    name === 'modulusLength' ? `rsa_keygen_bits:${value}` : `ec_paramgen_curve:${value}`,
  ])
  const files = ['-keyout', keyFile, '-out', certFile]
  const subject = ['-nodes', '-subj', '/CN=a.test', '-addext', 'subjectAltName=DNS:a.test']
  execFileSync('openssl', ['req', '-x509', '-newkey', type, ...words, ...files, ...subject], {
    stdio: 'pipe',
  })
  return { certPem: readFileSync(certFile, 'utf8'), keyPem: readFileSync(keyFile, 'utf8') }
}

t.test('a sealed text opens with its key, about the same, unchanged, and not otherwise', (t) => {
  const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const sealed = new KeyRing([one]).seal('the key of a.test', 'a.test 1')
  t.notMatch(sealed, 'a.test')
  t.equal(new KeyRing([two, one]).open(sealed, 'a.test 1'), 'the key of a.test')
  t.throws(() => new KeyRing([two]).open(sealed, 'a.test 1'), /not here/)
  t.throws(() => new KeyRing([one]).open(sealed, 'a.test 2'))
  const [format, name, body] = sealed.split('.')
  for (const at of [0, 20, 40, body.length - 2]) {
    const changed = body.slice(0, at) + (body[at] === 'A' ? 'B' : 'A') + body.slice(at + 1)
    t.throws(() => new KeyRing([one]).open(`${format}.${name}.${changed}`, 'a.test 1'))
  }
  t.same(parseSealKeys(`${one.toString('hex')}\n${two.toString('base64')}\n`), [one, two])
  for (const text of ['', 'secret', 'ab'.repeat(31)]) t.match(parseSealKeys(text), /openssl rand/)
  t.end()
})

t.test('a signing request has the names and is signed with its key', async (t) => {
  for (const [key, shown] of [
    ['p256', /prime256v1/],
    ['p384', /secp384r1/],
    ['rsa2048', /2048 bit/],
  ] as const) {
    const { requestPem, keyPem } = await createSigningRequest(['a.test', '*.a.test'], key)
    const text = execFileSync('openssl', ['req', '-verify', '-noout', '-text'], {
      input: requestPem,
      stdio: 'pipe',
      encoding: 'utf8',
    })
    t.match(text, /DNS:a\.test, DNS:\*\.a\.test/)
    t.match(text, shown)
    t.match(keyPem, /BEGIN PRIVATE KEY/)
  }
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

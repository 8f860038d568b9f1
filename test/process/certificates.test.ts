import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CertificatePair } from '@larder/certs'
import t, { type Test } from 'tap'
import { answerWithBody } from '../support/bodies.ts'
import { issue, serialOf, serialSeen, writePair } from '../support/certificates.ts'
import {
  get,
  type LarderProcess,
  spawnLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'
import { startTraffic } from '../support/traffic.ts'

/** Where certificates come from, as whole processes: a folder, paths of the configuration, the admin API. */

t.setTimeout(120_000)

const OPS = 'the-secret-of-the-operators'
const ACME = 'the-secret-of-one-tenant'
const PURGER = 'a-secret-that-may-only-purge'
const TOKENS = [
  { name: 'ops', secretFile: 'ops.token', role: 'admin' },
  { name: 'acme-ci', secretFile: 'acme.token', role: 'certificates', tenant: 'acme' },
  { name: 'purger', secretFile: 'purger.token', role: 'purge', tenant: 'acme' },
]

interface Started {
  readonly larder: LarderProcess
  readonly folder: string
}

async function start(
  t: Test,
  config: Readonly<Record<string, unknown>>,
  folder = temporaryFolder(t),
): Promise<Started> {
  for (const [name, secret] of Object.entries({ ops: OPS, acme: ACME, purger: PURGER })) {
    writeFileSync(join(folder, `${name}.token`), secret)
  }
  writeConfig(folder, { admin: { tokens: TOKENS }, ...config })
  const ports = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const words = ['start', '--config', 'larder.json', ...ports, '--workers', '2']
  return { larder: await spawnLarder(t, words, folder).started(), folder }
}

/** On fresh connections to every worker: what all of them agree on. */
async function seenByAll(larder: LarderProcess, name: string): Promise<string | null> {
  const all = new Set<string | null>()
  for (let i = 0; i < 12; i++) all.add(await serialSeen(larder.httpsPort, name))
  if (all.size !== 1) throw new Error(`workers differ: ${[...all]}`)
  return [...all][0]
}

async function untilSeen(larder: LarderProcess, name: string, serial: string | null) {
  await waitFor(async () => (await serialSeen(larder.httpsPort, name)) === serial)
  // One worker tells the other nothing: both hear it from the primary, within the same moment.
  t.equal(await seenByAll(larder, name), serial)
}

interface Call {
  readonly method?: string
  readonly token?: string
  readonly pair?: CertificatePair
  readonly also?: CertificatePair
}

async function call(larder: LarderProcess, path: string, options: Call = {}) {
  const { method = 'GET', token = OPS, pair, also } = options
  const asBody = ({ certPem, keyPem }: CertificatePair) => ({
    certificate: certPem,
    privateKey: keyPem,
  })
  const body =
    pair === undefined
      ? undefined
      : { ...asBody(pair), ...(also === undefined ? {} : { also: [asBody(also)] }) }
  const answer = await get(`${larder.adminUrl}/api/v1/certificates${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, json: answer.body === '' ? null : JSON.parse(answer.body) }
}

const tenants = (origin: string) => [
  { id: 'acme', hosts: ['www.acme.test', '*.img.acme.test'], origins: [{ url: origin }] },
  { id: 'other', hosts: ['other.test'], origins: [{ url: origin }] },
]

t.test('a folder is served by the names in it, and followed', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const folder = temporaryFolder(t)
  const certs = join(folder, 'certs')
  mkdirSync(join(certs, 'lineage-0001'), { recursive: true })
  const [www, wild, lineage, rsa] = await Promise.all([
    issue(['www.acme.test']),
    issue(['*.img.acme.test']),
    issue(['one.test', 'two.test']),
    issue(['www.acme.test'], { key: 'rsa2048' }),
  ])
  writePair(join(certs, 'www.acme.test'), www)
  writePair(join(certs, 'www.acme.test.rsa'), rsa)
  writePair(join(certs, '_.img.acme.test'), wild)
  writeFileSync(join(certs, 'lineage-0001', 'fullchain.pem'), lineage.certPem)
  writeFileSync(join(certs, 'lineage-0001', 'privkey.pem'), lineage.keyPem)
  const config = { tenants: tenants(origin), certificates: { folder: 'certs' } }
  const { larder } = await start(t, config, folder)
  t.equal(await seenByAll(larder, 'www.acme.test'), serialOf(www))
  t.equal(await seenByAll(larder, 'a.img.acme.test'), serialOf(wild))
  t.equal(await seenByAll(larder, 'two.test'), serialOf(lineage), 'a name that no file has')
  t.equal(await seenByAll(larder, 'a.b.img.acme.test'), null)
  t.equal(await seenByAll(larder, 'nobody.test'), null)
  const onlyRsa = { sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp384r1_sha384' }
  t.equal(await serialSeen(larder.httpsPort, 'www.acme.test', onlyRsa), serialOf(rsa))

  const renewed = await issue(['www.acme.test'])
  // First a half: the new certificate with the old key.
  writeFileSync(join(certs, 'www.acme.test.crt'), renewed.certPem)
  await waitFor(() => larder.stderr.includes('does not belong to the certificate'))
  t.match(larder.stderr, /www\.acme\.test\.key.*The one before stays/)
  t.equal(await seenByAll(larder, 'www.acme.test'), serialOf(www))
  writeFileSync(join(certs, 'www.acme.test.key'), renewed.keyPem)
  await untilSeen(larder, 'www.acme.test', serialOf(renewed))

  const added = await issue(['new.test'])
  writePair(join(certs, 'new.test'), added)
  await untilSeen(larder, 'new.test', serialOf(added))
  for (const name of ['new.test.crt', 'new.test.key']) rmSync(join(certs, name))
  await untilSeen(larder, 'new.test', null)
})

t.test('what is wrong in a folder is told, and what was good stays', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const folder = temporaryFolder(t)
  const certs = join(folder, 'certs')
  mkdirSync(certs)
  const good = await issue(['a.test'])
  writePair(join(certs, 'a.test'), good)
  writePair(join(certs, 'late.test'), await issue(['late.test'], { notAfterAt: Date.now() - 1000 }))
  const { larder } = await start(
    t,
    { tenants: tenants(origin), certificates: { folder: 'certs' } },
    folder,
  )
  t.equal(await seenByAll(larder, 'late.test'), null, 'expired: refused from the beginning')
  t.match(larder.stderr, /late\.test\.crt' expired on .*Renew it/)
  t.equal(await seenByAll(larder, 'a.test'), serialOf(good))
  const stranger = await issue(['stranger.test'])
  const chain = `${good.certPem.slice(0, good.certPem.indexOf('-----END') + 25)}\n${stranger.certPem}`
  for (const [pair, said] of [
    [{ ...good, certPem: chain }, /a\.test\.crt' does not verify/],
    [await issue(['a.test'], { notAfterAt: Date.now() - 1000 }), /a\.test\.crt' expired on/],
    [
      await issue(['a.test'], { notBeforeAt: Date.now() + 5e6 }),
      /a\.test\.crt' is not valid before/,
    ],
    [{ certPem: 'x', keyPem: good.keyPem }, /a\.test\.crt' holds no certificate/],
  ] as const) {
    writePair(join(certs, 'a.test'), pair)
    await waitFor(() => said.test(larder.stderr))
    t.equal(await seenByAll(larder, 'a.test'), serialOf(good), String(said))
  }
  const { body } = await get(`${larder.adminUrl}/metrics`, {
    headers: { authorization: `Bearer ${OPS}` },
  })
  t.match(body, /larder_certificate_refusals_total\{source="folder"\} [5-9]/)
  t.match(body, /larder_certificate_days_left\{name="a\.test"\} 36\d/)
})

t.test('files that the configuration names are followed, without a reload', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const folder = temporaryFolder(t)
  const first = await issue(['www.acme.test', '*.img.acme.test'])
  writePair(join(folder, 'acme'), first)
  const [acme, other] = tenants(origin)
  const certificate = { certFile: 'acme.crt', keyFile: 'acme.key' }
  const { larder } = await start(t, { tenants: [{ ...acme, certificate }, other] }, folder)
  t.equal(await seenByAll(larder, 'x.img.acme.test'), serialOf(first))
  const second = await issue(['www.acme.test', '*.img.acme.test'])
  writePair(join(folder, 'acme'), second)
  await untilSeen(larder, 'www.acme.test', serialOf(second))
  // A reload that names an expired one keeps what is good.
  writePair(join(folder, 'late'), await issue(['www.acme.test'], { notAfterAt: Date.now() - 1000 }))
  const late = { certFile: 'late.crt', keyFile: 'late.key' }
  writeConfig(folder, {
    admin: { tokens: TOKENS },
    tenants: [{ ...acme, certificate: late }, other],
  })
  larder.child.kill('SIGHUP')
  await waitFor(() => larder.stderr.includes('configuration applied'))
  t.match(larder.stderr, /late\.crt' expired on .*The one before stays/)
  t.equal(await seenByAll(larder, 'www.acme.test'), serialOf(second))
})

t.test('certificates are put, seen and taken away by the admin API, and stay', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const folder = temporaryFolder(t)
  const config = { tenants: tenants(origin) }
  const { larder } = await start(t, config, folder)
  const [first, second] = [await issue(['www.acme.test']), await issue(['www.acme.test'])]
  const rsa = await issue(['www.acme.test'], { key: 'rsa2048' })
  t.equal(await seenByAll(larder, 'www.acme.test'), null)
  const put = await call(larder, '/www.acme.test', { method: 'PUT', pair: first })
  t.equal(put.status, 201)
  t.match(put.json, { names: ['www.acme.test'], serial: serialOf(first), shared: false })
  t.equal(await seenByAll(larder, 'www.acme.test'), serialOf(first), 'at once, on all workers')
  const again = await call(larder, '/www.acme.test', { method: 'PUT', pair: second, also: rsa })
  t.equal(again.status, 200)
  t.ok(again.json.version > put.json.version)
  t.same(again.json.keys, ['ecdsa', 'rsa'])
  t.equal(await seenByAll(larder, 'www.acme.test'), serialOf(second))
  t.match(larder.stderr, /"audit":true,"caller":"ops","name":"www\.acme\.test"/)

  const stored = join(folder, '.larder', 'certificates')
  t.equal(statSync(stored).mode & 0o777, 0o700)
  for (const name of readdirSync(stored)) t.equal(statSync(join(stored, name)).mode & 0o777, 0o600)

  larder.child.kill('SIGTERM')
  await larder.ended()
  const { larder: restarted } = await start(t, config, folder)
  t.equal(await seenByAll(restarted, 'www.acme.test'), serialOf(second), 'after a restart')
  const listed = await call(restarted, '')
  t.match(listed.json.certificates, [
    { names: ['www.acme.test'], source: 'admin', daysLeft: 364, serial: serialOf(second) },
  ])
  t.equal((await call(restarted, '/www.acme.test', { method: 'DELETE' })).status, 204)
  t.equal(await seenByAll(restarted, 'www.acme.test'), null)
  t.equal((await call(restarted, '/www.acme.test', { method: 'DELETE' })).status, 404)
  t.same(readdirSync(stored), [])
})

t.test('what cannot be served is refused with the reason, and the old one stays', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const { larder } = await start(t, { tenants: tenants(origin) })
  const good = await issue(['www.acme.test'])
  t.equal((await call(larder, '/www.acme.test', { method: 'PUT', pair: good })).status, 201)
  const other = await issue(['www.acme.test'])
  for (const [pair, said] of [
    [{ ...good, keyPem: other.keyPem }, /'privateKey' does not belong/],
    [{ ...good, certPem: 'x' }, /'certificate' holds no certificate/],
    [await issue(['other.test']), /not for 'www\.acme\.test': it is for other\.test/],
    [await issue(['www.acme.test'], { notAfterAt: Date.now() - 1000 }), /expired on/],
  ] as const) {
    const { status, json } = await call(larder, '/www.acme.test', { method: 'PUT', pair })
    t.equal(status, 422)
    t.match(json.detail, said)
  }
  t.equal((await call(larder, '/..%2Fetc', { method: 'PUT', pair: good })).status, 400)
  t.equal(await seenByAll(larder, 'www.acme.test'), serialOf(good))
})

t.test('a token of one tenant reaches the names of its hosts alone', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const { larder } = await start(t, { tenants: tenants(origin) })
  const both = await issue(['www.acme.test', 'other.test', '*.img.acme.test'])
  const as = (token: string, name: string, method = 'PUT', pair: CertificatePair = both) =>
    call(larder, `/${name}`, method === 'PUT' ? { method, token, pair } : { method, token })
  t.equal((await as(PURGER, 'www.acme.test')).status, 403, 'the role does not reach')
  t.equal((await as(ACME, 'other.test')).status, 403)
  t.equal((await as(ACME, 'unheard.test')).status, 403)
  const own = await as(ACME, 'www.acme.test')
  t.equal(own.status, 201)
  t.same(own.json.names, ['www.acme.test', '*.img.acme.test'])
  t.equal(await seenByAll(larder, 'other.test'), null, 'not by way of another name')
  t.equal(await seenByAll(larder, 'a.img.acme.test'), serialOf(both))
  t.equal((await as(OPS, 'other.test')).status, 201)
  const seen = await call(larder, '', { token: ACME })
  t.same(
    seen.json.certificates.map(({ names }: { names: string[] }) => names),
    [
      ['www.acme.test', '*.img.acme.test'],
      ['www.acme.test', '*.img.acme.test'],
    ],
    'of a certificate of others no more than its own names',
  )
  t.equal((await as(ACME, 'other.test', 'DELETE')).status, 403)
  t.equal((await as(OPS, 'www.acme.test', 'PUT', both)).status, 200)
  t.equal((await as(ACME, 'www.acme.test', 'DELETE')).status, 403, 'it serves others, too')
})

t.test('a certificate is swapped many times under load, and no request is lost', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const { larder } = await start(t, {
    tenants: [
      { id: 'acme', hosts: ['a.test'], origins: [{ url: origin }] },
      { id: 'b', hosts: ['b.test'], origins: [{ url: origin }], certificate: 'self-signed' },
    ],
  })
  const pairs = await Promise.all(Array.from({ length: 6 }, () => issue(['a.test'])))
  await call(larder, '/a.test', { method: 'PUT', pair: pairs[0] })
  const { httpPort, httpsPort } = larder
  const clients = { 'http1-tls': 3, http2: 3 }
  const traffic = startTraffic({ httpPort, httpsPort, hosts: ['a.test', 'b.test'], clients })
  t.teardown(() => traffic.stop())
  await waitFor(() => traffic.good > 50)
  for (let round = 1; round <= 30; round++) {
    const pair = pairs[round % pairs.length]
    const { status } = await call(larder, '/a.test', { method: 'PUT', pair })
    t.equal(status, 200)
    t.equal(await seenByAll(larder, 'a.test'), serialOf(pair), 'new connections, at once')
  }
  const { good, corrupt, refused, otherStatus, cut, lost } = await traffic.stop()
  t.comment(`${good} good`)
  t.same({ corrupt, refused, otherStatus, cut, lost }, NOTHING)
})

t.test('no key is in anything that the processes write or answer', async (t) => {
  const origin = await startOrigin(t, answerWithBody)
  const folder = temporaryFolder(t)
  const certs = join(folder, 'certs')
  mkdirSync(certs)
  const pairs = await Promise.all(
    ['folder.test', 'file.test', 'put.test', 'half.test'].map((name) => issue([name])),
  )
  const [inFolder, byFile, put, half] = pairs
  writePair(join(certs, 'folder.test'), inFolder)
  writePair(join(certs, 'half.test'), { ...half, certPem: put.certPem })
  writePair(join(folder, 'file'), byFile)
  const certificate = { certFile: 'file.crt', keyFile: 'file.key' }
  const tenant = { id: 'acme', hosts: ['file.test'], origins: [{ url: origin }], certificate }
  const logging = { level: 'trace', access: { output: 'stdout' } }
  const config = { logging, tenants: [tenant], certificates: { folder: 'certs' } }
  const { larder } = await start(t, config, folder)
  await call(larder, '/put.test', { method: 'PUT', pair: put })
  const answers: string[] = []
  for (const wrong of [
    { ...put, certPem: inFolder.certPem },
    { certPem: put.keyPem, keyPem: put.keyPem },
    { ...put, keyPem: `${put.keyPem.slice(0, 60)}!${put.keyPem.slice(61)}` },
  ]) {
    const { json } = await call(larder, '/put.test', { method: 'PUT', pair: wrong })
    answers.push(JSON.stringify(json))
  }
  for (const name of ['folder.test', 'half.test', 'file.test', 'put.test', 'no.test']) {
    await serialSeen(larder.httpsPort, name)
  }
  larder.child.kill('SIGHUP')
  await waitFor(() => larder.stderr.includes('configuration applied'))
  const paths = ['config', 'stats', 'workers', 'certificates', 'openapi.json']
  for (const path of [...paths.map((each) => `/api/v1/${each}`), '/metrics']) {
    const headers = { authorization: `Bearer ${OPS}` }
    answers.push((await get(larder.adminUrl + path, { headers })).body)
  }
  larder.child.kill('SIGTERM')
  await larder.ended()
  const all = [larder.stdout, larder.stderr, ...answers].join('\n')
  t.match(all, /half\.test/, 'something was written about them')
  for (const { keyPem } of pairs) {
    for (const line of keyPem.split('\n').filter((each) => each.length > 30)) {
      t.notOk(all.includes(line.slice(8, 28)) && !line.startsWith('-----'), 'a piece of a key')
    }
  }
  t.notMatch(all, /PRIVATE KEY/)
})

const NOTHING = { corrupt: [], refused: [], otherStatus: [], cut: [], lost: [] }

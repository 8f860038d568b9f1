import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clientAuthority } from '../support/client-authority.ts'
import { type EdgeOptions, startProxy } from '../support/edge.ts'
import { HandClock } from '../support/hand-clock.ts'
import { waitFor } from '../support/larder-process.ts'
import { startScriptedOrigin } from '../support/scripted-origin.ts'
import { ask, askPlainly, http2Client } from '../support/tls-client.ts'

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const

const ours = await clientAuthority('our authority')
const theirs = await clientAuthority('their authority')
const alice = await ours.issue([{ O: ['Example'] }, { CN: ['Alice'] }])
const bob = await ours.issue([{ CN: ['Bob'] }])
const mallory = await theirs.issue([{ CN: ['Alice'] }])
const expired = await ours.issue([{ CN: ['Old'] }], {
  notAfter: new Date(Date.now() - 1000),
})

/** open.test asks for nothing, staff.test demands, both.test asks, other.test demands those of other authorities. */
async function setUp(t: Test, staff: Readonly<Record<string, unknown>> = {}) {
  const folder = t.testdir({ 'ours.crt': ours.certPem, 'theirs.crt': theirs.certPem })
  const clock = new HandClock()
  const origin = await startScriptedOrigin(t, clock)
  origin.answersElse((wire, request) => {
    const seen = request.fields.values('x-subject')
    wire.answer({ fields: { 'Cache-Control': 'no-store' }, body: JSON.stringify(seen) })
  })
  const file = join(folder, 'access.log')
  const tenant = (id: string, clientCertificate?: Readonly<Record<string, unknown>>) => ({
    id,
    hosts: [`${id}.test`],
    origins: [{ url: origin.url }],
    certificate: 'self-signed',
    clientCertificate,
  })
  const caFile = join(folder, 'ours.crt')
  const optionsFor = (changed: Readonly<Record<string, unknown>>): EdgeOptions => ({
    logging: { access: { output: file } },
    tenant: tenant('open'),
    otherTenants: [
      tenant('staff', { caFile, header: 'X-Subject', ...changed }),
      tenant('both', { mode: 'request', caFile, header: 'X-Subject' }),
      tenant('other', { caFile: join(folder, 'theirs.crt') }),
    ],
  })
  const proxy = await startProxy(t, origin.url, optionsFor(staff), clock.clock)
  return {
    ...proxy,
    origin,
    clock,
    folder,
    log: () => readFileSync(file, 'utf8'),
    change: (changed: Readonly<Record<string, unknown>>) => proxy.reconfigure(optionsFor(changed)),
  }
}

t.test('require: the handshake fails without a certificate that verifies', async (t) => {
  const { https, origin } = await setUp(t)
  for (const maxVersion of VERSIONS) {
    const none = await ask(https, { host: 'staff.test' }, { maxVersion })
    t.match(none.error, /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|EPROTO/, maxVersion)
    for (const [who, pair] of Object.entries({ mallory, expired })) {
      const refused = await ask(https, { host: 'staff.test' }, { maxVersion, ...pair })
      t.match(refused, { status: 0, error: /./ }, `${maxVersion}, ${who}`)
    }
    const served = await ask(https, { host: 'staff.test' }, { maxVersion, ...alice })
    t.match(served, { status: 200, body: '["CN=Alice,O=Example"]' }, maxVersion)
  }
  t.equal(origin.requests.length, 2, 'the origin has seen nobody else')
})

t.test('request: who has none, or one of someone else, is served as nobody', async (t) => {
  const { https } = await setUp(t)
  for (const maxVersion of VERSIONS) {
    const cases = [
      [{}, '[]'],
      [mallory, '[]'],
      [expired, '[]'],
      [bob, '["CN=Bob"]'],
    ] as const
    for (const [pair, body] of cases) {
      const answer = await ask(https, { host: 'both.test' }, { maxVersion, ...pair })
      t.match(answer, { status: 200, body }, `${maxVersion} ${body}`)
    }
  }
})

t.test('what a client says of itself never reaches the origin, in any spelling', async (t) => {
  const { https, http } = await setUp(t)
  const names = ['X-Subject', 'x_subject', 'X-SUBJECT', 'x-Subject']
  for (const name of names) {
    const headers = { [name]: 'CN=admin' }
    t.match(await ask(https, { host: 'both.test', headers }), { body: '[]' }, name)
    t.match(
      await ask(https, { host: 'staff.test', headers }, alice),
      { body: '["CN=Alice,O=Example"]' },
      name,
    )
    t.match(await askPlainly(http, { host: 'both.test', headers }), { body: '[]' }, name)
  }
  const nominated = { connection: 'close, X-Subject', 'x-subject': 'CN=admin' }
  t.match(
    await ask(https, { host: 'staff.test', headers: nominated }, alice),
    { body: '["CN=Alice,O=Example"]' },
    'nor can it take ours away (RFC 9110 §7.6.1)',
  )
})

t.test('no subject can end its field, its line or its attribute', async (t) => {
  const { https, log } = await setUp(t)
  const subjects: [name: string, expected: RegExp][] = [
    ['a\r\nX-Admin: yes', /^CN=[\x21-\x7e]+$/],
    ['a\nCN=admin', /^CN=[\x21-\x7e]+$/],
    ['a,CN=admin', /^CN=a\\,CN=admin$/],
    ['a+CN=admin', /^CN=a\\\+CN=admin$/],
    ['quote" \\ % end', /^CN=[\x21-\x7e]+$/],
    ['\u00e9\u4e2d\u{1f600}', /^CN=(%[0-9A-F]{2}|\\[0-9A-F]{2})+$/],
    ['x'.repeat(60), /^CN=x{60}$/],
  ]
  for (const [commonName, expected] of subjects) {
    const pair = await ours.issue([{ CN: [commonName] }])
    const { status, body } = await ask(https, { host: 'staff.test' }, pair)
    t.equal(status, 200, JSON.stringify(commonName))
    const [subject, ...more] = JSON.parse(body)
    t.same(more, [])
    t.match(subject, expected, subject)
    t.notMatch(subject, /["\r\n ]/)
  }
  await waitFor(() => log().split('\n').length > subjects.length)
  for (const line of log().trim().split('\n')) t.match(JSON.parse(line), { subject: /^CN=/ })
})

t.test('the log tells who it was, for hits as for others', async (t) => {
  const { https, origin, log } = await setUp(t)
  origin.answers('/page', { fields: { 'cache-control': 'public, max-age=60' }, body: 'page' })
  for (const pair of [alice, bob]) await ask(https, { host: 'staff.test', path: '/page' }, pair)
  await ask(https, { host: 'both.test', path: '/page' })
  await waitFor(() => log().trim().split('\n').length === 3)
  const lines = log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(lines, [
    { subject: 'CN=Alice,O=Example', cache: 'uri-miss' },
    { subject: 'CN=Bob', cache: 'hit' },
    { tenant: 'both', subject: undefined },
  ])
})

t.test('an answer for one client is not for another (RFC 9111 §3.5)', async (t) => {
  const { https, origin } = await setUp(t)
  const subjectOf = (fields: { get(name: string): string | undefined }) =>
    fields.get('x-subject') ?? 'nobody'
  for (const [path, extra] of [
    ['/unmarked', {}],
    ['/vary', { vary: 'X-Subject' }],
  ] as const) {
    origin.answers(path, (wire, request) =>
      wire.answer({
        fields: { 'cache-control': 'max-age=60', ...extra },
        body: `for ${subjectOf(request.fields)}`,
      }),
    )
    // What an origin answers to nobody in particular, unmarked, it answers to all.
    for (const host of path === '/vary' ? ['staff.test', 'both.test'] : ['staff.test']) {
      for (let round = 0; round < 3; round++) {
        for (const [pair, name] of [
          [alice, 'CN=Alice,O=Example'],
          [bob, 'CN=Bob'],
        ] as const) {
          const headers = { 'x-subject': 'CN=Bob' }
          const answer = await ask(https, { host, path, headers }, pair)
          t.equal(answer.body, `for ${name}`, `${host}${path}`)
        }
        if (host === 'staff.test') continue
        const nobody = await ask(https, { host, path, headers: { 'x-subject': 'CN=Bob' } })
        t.equal(nobody.body, 'for nobody', `${host}${path}`)
      }
    }
  }
  const { headers } = await ask(https, { host: 'staff.test', path: '/vary' }, bob)
  t.match(headers['cache-status'], /; hit/, 'a variant for each')
})

t.test('a connection that was verified for one tenant is nothing to another', async (t) => {
  const { https, http } = await setUp(t)
  for (const [servername, pair] of [
    ['open.test', {}],
    ['both.test', alice],
    ['other.test', mallory],
  ] as const) {
    const client = http2Client(https, servername, pair)
    t.match(await client.ask(servername), { status: 200 }, servername)
    t.match(await client.ask('staff.test'), { status: 421 }, `${servername}, then staff.test`)
    client.close()
    const h1 = await ask(https, { host: 'staff.test', servername }, pair)
    t.equal(h1.status, 421, `HTTP/1.1, ${servername}`)
  }
  t.equal((await askPlainly(http, { host: 'staff.test' })).status, 403, 'nor is plain HTTP')
  t.equal((await askPlainly(http, { host: 'open.test' })).status, 200)
})

t.test('a name in Host alone is not enough, and what is stored makes no difference', async (t) => {
  const { origin, clock, folder } = await setUp(t)
  origin.answers('/page', { fields: { 'cache-control': 'public, max-age=60' }, body: 'page' })
  const options = {
    tls: { unknownServerName: 'default' },
    tenant: {
      hosts: ['staff.test', '*'],
      clientCertificate: { caFile: join(folder, 'ours.crt') },
    },
  }
  const proxy = await startProxy(t, origin.url, options, clock.clock)
  const path = '/page'
  t.equal((await ask(proxy.https, { host: 'staff.test', path }, alice)).status, 200)
  const hit = await ask(proxy.https, { host: 'staff.test', path }, alice)
  t.match(hit.headers['cache-status'], /; hit/)
  for (const pair of [{}, alice]) {
    const nameless = await ask(proxy.https, { host: 'staff.test', path, servername: '' }, pair)
    t.equal(nameless.status, 421)
  }
  t.equal((await askPlainly(proxy.http, { host: 'staff.test', path })).status, 403)
})

t.test('a session is resumed only under the demand that it was made under', async (t) => {
  const { https, change, folder } = await setUp(t)
  const to = (host: string, tls: object) => ask(https, { host }, tls)
  for (const maxVersion of VERSIONS) {
    const without = await to('open.test', { maxVersion })
    const asked = await to('both.test', { maxVersion })
    const verified = await to('staff.test', { maxVersion, ...alice })
    const again = await to('staff.test', { maxVersion, session: verified.session })
    t.match(again, { status: 200, resumed: true, body: '["CN=Alice,O=Example"]' }, maxVersion)
    for (const session of [without.session, asked.session]) {
      t.ok(session)
      const refused = await to('staff.test', { maxVersion, session })
      t.match(refused, { status: 0, error: /./ }, 'made without a certificate')
    }
    const elsewhere = await to('both.test', { maxVersion, session: verified.session })
    t.match(elsewhere, { status: 200, resumed: false, body: '[]' }, 'of another tenant')
    writeFileSync(join(folder, 'ours.crt'), `${ours.certPem}\n${theirs.certPem}`)
    await change({})
    const after = await to('staff.test', { maxVersion, session: verified.session })
    t.match(after, { status: 0, error: /./ }, 'after other authorities')
    t.match(await to('staff.test', { maxVersion, ...mallory }), { status: 200 })
    writeFileSync(join(folder, 'ours.crt'), ours.certPem)
    await change({})
  }
})

t.test('a demand that comes later holds for connections that are there', async (t) => {
  const { https, change, folder } = await setUp(t, { mode: 'request' })
  const client = http2Client(https, 'staff.test', alice)
  const nobody = http2Client(https, 'staff.test')
  t.match(await nobody.ask('staff.test'), { status: 200, body: '[]' })
  t.match(await client.ask('staff.test'), { status: 200, body: '["CN=Alice,O=Example"]' })
  await change({ mode: 'require' })
  t.equal((await nobody.ask('staff.test')).status, 421)
  t.equal((await client.ask('staff.test')).status, 421, 'it was verified for something else')
  client.close()
  nobody.close()
  t.ok(folder)
})

t.test('who comes when there are many demands gets the right one', async (t) => {
  const names = Array.from({ length: 30 }, (_, index) => `t${index}.test`)
  const { origin, folder } = await setUp(t)
  const proxy = await startProxy(t, origin.url, {
    tenant: { hosts: ['first.test'] },
    otherTenants: names.map((host, index) => ({
      id: `t${index}`,
      hosts: [host],
      origins: [{ url: origin.url }],
      certificate: 'self-signed',
      clientCertificate: { caFile: join(folder, index % 2 === 0 ? 'ours.crt' : 'theirs.crt') },
    })),
  })
  const answers = await Promise.all(
    names.map((host) =>
      ask(proxy.https, { host, path: `/${randomBytes(4).toString('hex')}` }, alice),
    ),
  )
  t.same(
    answers.map(({ status }) => status),
    names.map((_, index) => (index % 2 === 0 ? 200 : 0)),
  )
})

import t, { type Test } from 'tap'
import { loadConfigText } from '../../packages/proxy/src/config/load.ts'
import { type EdgeOptions, onBoth, startProxy } from '../support/edge.ts'
import { HandClock } from '../support/hand-clock.ts'
import { startScriptedOrigin } from '../support/scripted-origin.ts'
import { ask, askPlainly, http2Client } from '../support/tls-client.ts'

const HSTS = 'max-age=31536000; includeSubDomains; preload'
const hsts = { includeSubDomains: true, preload: true }
const FRESH = { 'cache-control': 'max-age=60', etag: '"1"' }

async function setUp(t: Test, tenant: Readonly<Record<string, unknown>>, more: EdgeOptions = {}) {
  const clock = new HandClock()
  const origin = await startScriptedOrigin(t, clock)
  const optionsFor = (changed: typeof tenant): EdgeOptions => ({
    ...more,
    tenant: { hosts: ['a.test', '*.a.test'], ...changed },
  })
  const proxy = await startProxy(t, origin.url, optionsFor(tenant), clock.clock)
  return { ...proxy, origin, change: (to: typeof tenant) => proxy.reconfigure(optionsFor(to)) }
}

t.test('plain HTTP is sent to the same URL by HTTPS, whatever is stored for it', async (t) => {
  const { http, https, origin, change } = await setUp(t, {})
  origin.answersElse({ fields: FRESH, body: 'x' })
  const path = '/page?b=2&a=%C3%A9//..'
  await askPlainly(http, { host: 'a.test', path })
  t.match(await askPlainly(http, { host: 'a.test', path }), {
    headers: { 'cache-status': /; hit/ },
  })
  await change({ redirectToHttps: true })
  const location = `https://a.test:${https}${path}`
  for (const [method, status] of [
    ['GET', 301],
    ['HEAD', 301],
    ['POST', 308],
    ['DELETE', 308],
  ] as const) {
    const answer = await askPlainly(http, { host: 'A.test:8080', path, method })
    t.match(answer, { status, headers: { location }, body: '' }, method)
    t.notOk('strict-transport-security' in answer.headers)
  }
  t.match(await askPlainly(http, { host: 'b.a.test', path: '/' }), {
    headers: { location: `https://b.a.test:${https}/` },
  })
  t.equal((await askPlainly(http, { host: 'other.test' })).status, 421, 'only for hosts we serve')
  const asked = origin.requests.length
  t.match(await ask(https, { host: 'a.test', path }), { status: 200, body: 'x' })
  t.equal(origin.requests.length, asked + 1)
  await change({})
  t.match(await askPlainly(http, { host: 'a.test', path }), {
    headers: { 'cache-status': /; hit/ },
  })
})

t.test('challenges of ACME and the paths named stay on plain HTTP', async (t) => {
  const except = ['/health', '/plain/*']
  const { http, origin } = await setUp(t, { redirectToHttps: { except, status: 302 } })
  origin.answersElse({ body: 'plain' })
  for (const [path, status] of [
    ['/.well-known/acme-challenge/token', 200],
    ['/.well-known/acme-challenge/', 200],
    ['/.well-known/acme-challenge', 302],
    ['/.well-known/acme-challenges/x', 302],
    ['/x/.well-known/acme-challenge/token', 302],
    ['/.well-known/acme-challenge/../../secret', 302],
    ['/health', 200],
    ['/health?deep=1', 200],
    ['/healthy', 302],
    ['/plain/page', 200],
    ['/plain/../page', 302],
    ['/', 302],
  ] as const) {
    t.equal((await askPlainly(http, { host: 'a.test', path })).status, status, path)
  }
  t.equal((await askPlainly(http, { host: 'a.test', path: '*', method: 'OPTIONS' })).status, 204)
})

t.test('the port is the one that is said, and 443 is not written', async (t) => {
  for (const [port, location] of [
    [443, 'https://a.test/x'],
    [9443, 'https://a.test:9443/x'],
  ] as const) {
    const { http } = await setUp(t, { redirectToHttps: { port } })
    t.match(await askPlainly(http, { host: 'a.test', path: '/x' }), { headers: { location } })
  }
})

t.test('who has spoken TLS with a trusted proxy in front is not sent round', async (t) => {
  const headers = { 'x-forwarded-proto': 'https' }
  const redirectToHttps = true
  const trusting = await setUp(t, { redirectToHttps }, { trustedProxies: ['127.0.0.1'] })
  trusting.origin.answersElse({ body: 'x' })
  const request = { host: 'a.test', headers }
  t.equal((await askPlainly(trusting.http, request)).status, 200)
  t.equal((await askPlainly(trusting.http, { host: 'a.test' })).status, 301)
  const strict = await setUp(t, { redirectToHttps })
  t.equal((await askPlainly(strict.http, request)).status, 301, 'anyone could say so')
})

t.test(
  'Strict-Transport-Security is on what the tenant answers over TLS, and on nothing without',
  async (t) => {
    const { http, https, origin } = await setUp(t, { hsts })
    origin.answers('/hit', { fields: FRESH, body: 'x' })
    origin.answers('/theirs', {
      fields: { ...FRESH, 'Strict-Transport-Security': ['max-age=1', 'max-age=2'] },
      body: 'x',
    })
    origin.answers('/passed', { fields: { 'cache-control': 'no-store' }, body: 'x' })
    origin.answers('/gone', { status: 404, body: 'no' })
    const h2 = http2Client(https, 'a.test')
    t.teardown(() => h2.close())
    const field = 'strict-transport-security'
    for (const path of ['/hit', '/hit', '/theirs', '/theirs', '/passed', '/gone']) {
      const [one, two] = [await ask(https, { host: 'a.test', path }), await h2.ask('a.test', path)]
      t.equal(one.headers[field], HSTS, `HTTP/1.1 ${path}, ${one.headers['cache-status']}`)
      t.equal(two.headers[field], HSTS, `HTTP/2 ${path}, ${two.headers['cache-status']}`)
    }
    const conditional = { 'if-none-match': '"1"' }
    const not = await ask(https, { host: 'a.test', path: '/hit', headers: conditional })
    t.match(not, { status: 304, headers: { [field]: HSTS } })
    t.match(await h2.ask('a.test', '/hit', conditional), {
      status: 304,
      headers: { [field]: HSTS },
    })
    const range = await ask(https, {
      host: 'a.test',
      path: '/hit',
      headers: { range: 'bytes=0-0' },
    })
    t.match(range, { status: 206, headers: { [field]: HSTS } })
    for (const path of ['/hit', '/hit', '/passed', '/gone']) {
      const { headers } = await askPlainly(http, { host: 'a.test', path })
      t.notOk(field in headers, `plain ${path}`)
    }
  },
)

t.test('what is stored has the value of now', async (t) => {
  const { https, origin, change } = await setUp(t, {})
  origin.answersElse({ fields: FRESH, body: 'x' })
  const field = 'strict-transport-security'
  const values: unknown[] = []
  for (const tenant of [{}, { hsts: { maxAge: '1h' } }, { hsts }, { hsts: { maxAge: '0s' } }, {}]) {
    await change(tenant)
    const requests: Record<string, string>[] = [
      {},
      { 'if-none-match': '"1"' },
      { 'cache-control': 'max-age=9' },
    ]
    for (const headers of requests) {
      const answer = await ask(https, { host: 'a.test', path: '/page', headers })
      values.push(answer.headers[field])
    }
  }
  const expected = [undefined, 'max-age=3600', HSTS, 'max-age=0', undefined]
  t.same(
    values,
    expected.flatMap((value) => [value, value, value]),
  )
  t.equal(origin.requests.length, 1)
})

onBoth('both doors say the same', { tenant: { hsts } }, async (t, { get, origin }) => {
  origin.answers('/page', { fields: FRESH, body: 'x' })
  await get('/page')
  const ready = await get('/page')
  const general = await get('/page', { 'cache-control': 'max-age=1000' })
  t.same(ready.fields.list, general.fields.list)
})

t.test('what cannot be meant is refused, what is of no use is told', async (t) => {
  const load = (tenant: Readonly<Record<string, unknown>>) =>
    loadConfigText(
      JSON.stringify({
        listen: { http: [':80'] },
        tenants: [{ id: 'a', hosts: ['a.test'], origins: [{ url: 'http://o.test' }], ...tenant }],
      }),
      'larder.json',
    )
  const refused: [tenant: Readonly<Record<string, unknown>>, message: RegExp][] = [
    [{ redirectToHttps: { status: 303 } }, /Expected 301, 302, 307 or 308, got 303/],
    [{ redirectToHttps: { except: ['/a?b'] } }, /path alone/],
    [{ redirectToHttps: 'yes' }, /./],
    [{ hsts: { maxAge: 3600 } }, /unit/i],
    [{ hsts: true }, /./],
    [{ clientCertificate: 'require' }, /./],
    [{ clientCertificate: { mode: 'require' } }, /caFile/],
    [{ clientCertificate: { caFile: 'a', header: 'Host' } }, /meaning of its own/],
    [{ clientCertificate: { caFile: 'a', header: 'x-real-ip' } }, /meaning of its own/],
    [{ clientCertificate: { caFile: 'a', header: 'a b' } }, /Expected a name/],
    [{ originTls: { certFile: 'a.crt' } }, /both certFile and keyFile/],
    [{ originTls: { minVersion: 'TLSv1.1' } }, /TLSv1.2/],
  ]
  for (const [tenant, message] of refused) {
    const result = load(tenant)
    t.equal(result.ok, false, JSON.stringify(tenant))
    if (result.ok) continue
    t.match(result.problems.map((problem) => problem.message).join('\n'), message)
  }
  const useless = load({ hsts: { maxAge: '30d', preload: true } })
  t.ok(useless.ok)
  t.match(useless.warnings[0]?.message, /includeSubDomains/)
})

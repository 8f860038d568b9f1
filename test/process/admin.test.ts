import { writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import {
  get,
  type LarderProcess,
  spawnLarder,
  startLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'

const ADMIN = 'the-secret-of-the-operators'
const READER = 'the-secret-of-the-monitoring'
const TENANT = 'the-secret-of-one-tenant'

const tenants = (url: string) => [
  { id: 'acme', hosts: ['acme.test'], origins: [{ url }] },
  { id: 'other', hosts: ['other.test'], origins: [{ url }] },
]

async function withTokens(t: import('tap').Test): Promise<LarderProcess> {
  const origin = await startOrigin(t, (_request, response) => response.end('x'))
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'ops.token'), ADMIN)
  writeFileSync(join(folder, 'read.token'), READER)
  writeFileSync(join(folder, 'acme.token'), TENANT)
  writeConfig(folder, {
    tenants: tenants(origin),
    admin: {
      tokens: [
        { name: 'ops', secretFile: 'ops.token', role: 'admin' },
        { name: 'monitoring', secretFile: 'read.token', role: 'read' },
        { name: 'acme-ci', secretFile: 'acme.token', role: 'purge', tenant: 'acme' },
      ],
    },
  })
  const words = ['--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '1']
  return spawnLarder(t, ['start', '--config', 'larder.json', ...words], folder).started()
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

t.test('a token reaches what its role and tenant allow, and nothing else', async (t) => {
  const larder = await withTokens(t)
  const status = async (method: string, path: string, token?: string) => {
    const headers = token === undefined ? {} : bearer(token)
    return (await get(larder.adminUrl + path, { method, headers })).status
  }
  const cases: [method: string, path: string, token: string | undefined, status: number][] = [
    ['GET', '/healthz', undefined, 200],
    ['GET', '/readyz', undefined, 200],
    ['GET', '/metrics', undefined, 401],
    ['GET', '/api/v1/stats', undefined, 401],
    ['GET', '/api/v1/config', undefined, 401],
    ['GET', '/nothing', undefined, 401],
    ['POST', '/api/v1/reload', undefined, 401],
    ['GET', '/metrics', 'a token that nobody has', 401],
    ['GET', '/metrics', `${READER}x`, 401],
    ['GET', '/metrics', READER, 200],
    ['GET', '/api/v1/workers', READER, 200],
    ['GET', '/api/v1/openapi.json', READER, 200],
    ['POST', '/api/v1/reload', READER, 403],
    ['GET', '/metrics', TENANT, 403],
    ['GET', '/api/v1/config', TENANT, 403],
    ['POST', '/api/v1/reload', TENANT, 403],
    ['GET', '/api/v1/stats', TENANT, 200],
    ['POST', '/api/v1/reload', ADMIN, 200],
    ['GET', '/nothing', ADMIN, 404],
  ]
  for (const [method, path, token, expected] of cases) {
    t.equal(await status(method, path, token), expected, `${method} ${path} with ${token}`)
  }
  const { body } = await get(`${larder.adminUrl}/api/v1/config`, { headers: bearer(ADMIN) })
  t.notMatch(body, /secret-of|secretSha256|BEGIN/, 'no secret and no hash of one is shown')
  t.match(larder.stderr, /"audit":true,"caller":"ops".*"route":"\/api\/v1\/reload","status":200/)
})

t.test('a tenant sees its own numbers alone', async (t) => {
  const larder = await withTokens(t)
  const http = larder.urls('http')[0]
  for (const host of ['acme.test', 'other.test', 'other.test'])
    await get(http, { headers: { host } })
  const stats = async (token: string) =>
    JSON.parse((await get(`${larder.adminUrl}/api/v1/stats`, { headers: bearer(token) })).body)
  await waitFor(async () => (await stats(ADMIN)).requests === 3)
  const own = await stats(TENANT)
  t.equal(own.requests, 1)
  t.same(Object.keys(own.tenants), ['acme'])
})

t.test('a thousand tries without a valid token change nothing and crash nothing', async (t) => {
  const larder = await withTokens(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => agent.destroy())
  const tokens = fc.sample(fc.string({ unit: 'grapheme-ascii', maxLength: 60 }), {
    numRuns: 1000,
    seed: 11,
  })
  const statuses = new Set<number>()
  for (const [index, token] of tokens.entries()) {
    const path = index % 2 === 0 ? '/api/v1/reload' : '/metrics'
    const method = index % 2 === 0 ? 'POST' : 'GET'
    const authorization = index % 3 === 0 ? token.trim() : `Bearer ${token.trim()}`
    const { status } = await get(larder.adminUrl + path, {
      method,
      agent,
      headers: { authorization },
    })
    statuses.add(status)
  }
  t.same([...statuses].sort(), [401, 429], 'first unauthorised, then too many')
  t.notMatch(larder.stderr, /configuration applied/)
  const right = await get(`${larder.adminUrl}/metrics`, { headers: bearer(READER) })
  t.equal(right.status, 200, 'a right token is still let in')
  t.match(right.body, /larder_config_reloads_total\{result="applied"\} 0/)
})

t.test('a thousand random bodies give a refusal each, never a failure', async (t) => {
  const origin = await startOrigin(t, (_request, response) => response.end('x'))
  const larder = await startLarder(t, { tenants: tenants(origin) })
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => agent.destroy())
  const anything = fc.oneof(
    fc.json(),
    fc.string(),
    fc.constantFrom('{"__proto__":{"x":1}}', '{"constructor":1}', '[', 'null1', '"', '{"a":NaN}'),
  )
  const bodies = fc.sample(anything, { numRuns: 1000, seed: 12 })
  const unexpected: string[] = []
  for (const body of bodies.filter(
    (text) => text.trim() !== '' && !/^(null|\{\})$/.test(text.trim()),
  )) {
    const headers = {
      'content-type': 'application/json',
      'content-length': `${Buffer.byteLength(body)}`,
    }
    const url = `${larder.adminUrl}/api/v1/reload`
    const { status } = await get(url, { method: 'POST', agent, headers, body })
    if (status !== 400) unexpected.push(`${status} for ${body}`)
  }
  t.same(unexpected, [])
  t.notMatch(larder.stderr, /configuration applied|admin API failed/)
  const deep = `${'['.repeat(40)}${']'.repeat(40)}`
  const ask = async (headers: Record<string, string>, body: string) => {
    const url = `${larder.adminUrl}/api/v1/reload`
    return get(url, { method: 'POST', headers, body })
  }
  t.match(await ask({ 'content-type': 'application/json' }, deep), {
    status: 400,
    body: /32 levels/,
  })
  t.match(await ask({ 'content-type': 'text/plain' }, 'x'), { status: 415 })
  const large = JSON.stringify('x'.repeat(1024 * 1024))
  const answer = await ask({ 'content-type': 'application/json' }, large).catch(() => ({
    status: 413,
  }))
  t.equal(answer.status, 413)
})

t.test('pages of other sites cannot use a listener without tokens', async (t) => {
  const origin = await startOrigin(t, (_request, response) => response.end('x'))
  const larder = await startLarder(t, { tenants: tenants(origin) })
  const url = `${larder.adminUrl}/api/v1/stats`
  const { host } = new URL(url)
  const cases: [name: string, headers: Record<string, string>, status: number][] = [
    ['its own address', { host }, 200],
    ['localhost', { host: host.replace('127.0.0.1', 'localhost') }, 200],
    ['a page of its own', { host, origin: `http://${host}` }, 200],
    ['a name that was rebound (DNS rebinding)', { host: 'evil.test' }, 403],
    ['a page of another site', { host, origin: 'http://evil.test' }, 403],
    ['a sandboxed page', { host, origin: 'null' }, 403],
    ['a form of another site', { host, 'sec-fetch-site': 'cross-site' }, 403],
  ]
  for (const [name, headers, status] of cases) {
    t.equal((await get(url, { headers })).status, status, name)
  }
})

t.test('bytes that are no HTTP are answered with 400 and the connection ends', async (t) => {
  const origin = await startOrigin(t, (_request, response) => response.end('x'))
  const larder = await startLarder(t, { tenants: tenants(origin) })
  const { port } = new URL(larder.adminUrl)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('\u0016\u0003\u0001 no HTTP\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  t.match(text, /^HTTP\/1.1 400 /)
  t.equal((await get(`${larder.adminUrl}/healthz`)).status, 200)
})

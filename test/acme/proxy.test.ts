import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import {
  get,
  type LarderProcess,
  spawnLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'
import { type Pebble, type PebbleOptions, startPebble, withoutPebble } from '../support/pebble.ts'
import { freePort, startRedis, withoutRedis } from '../support/redis-server.ts'

const options = { skip: withoutPebble }
/** Of the external account. */
const HMAC_KEY = Buffer.alloc(32, 'hmac').toString('base64url')

interface Site {
  readonly pebble: Pebble
  readonly httpPort: number
  readonly config: Readonly<Record<string, unknown>>
  /** Answers that the origin owes. */
  readonly slow: readonly ServerResponse[]
}

/** A tenant whose certificate an authority issues that validates on `httpPort`. */
async function siteBehind(
  t: Test,
  more: Readonly<Record<string, unknown>> = {},
  authority: PebbleOptions = {},
): Promise<Site> {
  const httpPort = await freePort()
  const pebble = await startPebble(t, {
    httpPort,
    externalAccounts: { 'kid-1': HMAC_KEY },
    ...authority,
  })
  const slow: ServerResponse[] = []
  const origin = await startOrigin(t, (request, response) => {
    if (request.url === '/slow') slow.push(response)
    else response.end(`origin ${request.url}`)
  })
  const config = {
    acme: {
      directory: pebble.directoryUrl,
      caFile: pebble.caFile,
      email: 'ops@larder.test',
      termsAgreed: true,
      eab: { kid: 'kid-1', hmacFile: 'hmac.key' },
      challenges: ['http-01'],
    },
    tenants: [
      { id: 'site', hosts: ['www.a.test'], origins: [{ url: origin }], certificate: 'acme' },
    ],
    ...more,
  }
  return { pebble, httpPort, config, slow }
}

async function startSite(
  t: Test,
  { config }: Site,
  httpPort: number,
  folder = temporaryFolder(t),
): Promise<LarderProcess> {
  writeConfig(folder, config)
  writeFileSync(join(folder, 'hmac.key'), `${HMAC_KEY}\n`, { mode: 0o600 })
  const words = ['start', '--config', 'larder.json', '--workers', '2']
  const listen = ['--http', `127.0.0.1:${httpPort}`, '--https', '127.0.0.1:0']
  return spawnLarder(t, [...words, ...listen, '--admin', '127.0.0.1:0'], folder).started()
}

/** Who has issued the certificate that a client is shown, and its serial number. */
function shown(larder: LarderProcess): Promise<{ issuer: string; serial: string }> {
  const place = { port: larder.httpsPort, host: '127.0.0.1', path: '/' }
  const name = { servername: 'www.a.test', headers: { host: 'www.a.test' } }
  const options = { ...place, ...name, rejectUnauthorized: false, agent: false }
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      // What answers an https request came over TLS.
      const { issuer, serialNumber } = (response.socket as TLSSocket).getPeerCertificate()
      response
        .resume()
        .on('end', () => resolve({ issuer: String(issuer.CN), serial: serialNumber }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

t.test(
  'a site comes up self-signed, and every worker serves what is issued',
  options,
  async (t) => {
    const site = await siteBehind(t)
    const folder = temporaryFolder(t)
    // The authority is not there yet: the site is.
    await site.pebble.kill()
    const larder = await startSite(t, site, site.httpPort, folder)
    t.match(await shown(larder), { issuer: /development/ })
    await waitFor(() => larder.stderr.includes('a certificate is not issued'))
    t.match(larder.stderr, /cannot be reached at https/)
    t.equal((await get(`${larder.adminUrl}/readyz`)).status, 200)
    larder.child.kill('SIGTERM')
    t.equal(await larder.ended(), 0)

    await site.pebble.start()
    const again = await startSite(t, site, site.httpPort, folder)
    await waitFor(() => again.stderr.includes('a certificate is issued'), 30_000)
    await waitFor(async () => /Pebble/.test((await shown(again)).issuer), 5_000)
    const { serial } = await shown(again)
    for (let i = 0; i < 20; i++) t.match(await shown(again), { issuer: /Pebble/, serial })
    t.equal(site.pebble.asked('new-order'), 1)

    const url = `http://127.0.0.1:${site.httpPort}/.well-known/acme-challenge/of-the-origin`
    const unknown = await get(url, { headers: { host: 'www.a.test' } })
    t.equal(unknown.body, 'origin /.well-known/acme-challenge/of-the-origin', 'not ours')

    const metrics = (await get(`${again.adminUrl}/metrics`)).body
    t.match(metrics, /larder_acme_orders_total\{result="issued"\} 1\n/)
    t.match(metrics, /larder_acme_certificates\{state="issued"\} 1\n/)
    const status = (await get(`${again.adminUrl}/api/v1/acme`)).body
    t.match(JSON.parse(status), {
      certificates: [{ tenant: 'site', names: ['www.a.test'], failures: 0, expires: /^20/ }],
    })

    const state = join(folder, '.larder')
    const secrets: string[] = [HMAC_KEY]
    const all = readdirSync(state, { recursive: true, withFileTypes: true })
    // What the authority has to do with; the development authority keeps its own beside it.
    const files = all.filter(({ parentPath }) => /acme|certificates/.test(parentPath))
    for (const file of files) {
      const path = join(file.parentPath, file.name)
      const { mode } = statSync(path)
      t.equal(mode & 0o077, 0, `${file.name} is its owner's alone`)
      if (!file.isFile()) continue
      const keys = readFileSync(path, 'utf8').matchAll(/PRIVATE KEY-----(?:\\n|\n)([\w+/=]+)/g)
      for (const [, line] of keys) secrets.push(line)
    }
    t.equal(secrets.length, 3, 'those of the account and of the certificate are there')
    const told = [
      again.stdout,
      again.stderr,
      (await get(`${again.adminUrl}/api/v1/config`)).body,
      metrics,
    ]
    for (const text of told) {
      t.notMatch(text, /PRIVATE KEY/)
      for (const secret of secrets) t.notOk(text.includes(secret), 'no key is told')
    }

    again.child.kill('SIGTERM')
    t.equal(await again.ended(), 0)
    const third = await startSite(t, site, site.httpPort, folder)
    t.match(await shown(third), { serial }, 'a restart keeps it')
    t.equal(site.pebble.asked('new-order'), 1, 'and orders nothing')
  },
)

t.test('a tenant that comes with a reload gets its certificate, too', options, async (t) => {
  const site = await siteBehind(t)
  const { acme: _acme, tenants, ...rest } = site.config as { acme: unknown; tenants: object[] }
  const without = { ...rest, tenants: [{ ...tenants[0], certificate: 'self-signed' }] }
  const folder = temporaryFolder(t)
  const larder = await startSite(t, { ...site, config: without }, site.httpPort, folder)
  writeConfig(folder, site.config)
  t.equal((await get(`${larder.adminUrl}/api/v1/reload`, { method: 'POST' })).status, 200)
  await waitFor(async () => /Pebble/.test((await shown(larder)).issuer), 30_000)
})

t.test('a renewed certificate does not wait for a worker that drains', options, async (t) => {
  const site = await siteBehind(t, {}, { validitySeconds: 15 })
  const larder = await startSite(t, site, site.httpPort)
  await waitFor(async () => /Pebble/.test((await shown(larder)).issuer), 30_000)
  const first = await shown(larder)
  const slow = get(`http://127.0.0.1:${site.httpPort}/slow`, { headers: { host: 'www.a.test' } })
  await waitFor(() => site.slow.length === 1)
  larder.child.kill('SIGUSR2')
  await waitFor(() => larder.stderr.includes('replacing workers'))
  await waitFor(async () => (await shown(larder)).serial !== first.serial, 30_000)
  t.notMatch(larder.stderr, /workers are replaced/, 'one still drains')
  for (let i = 0; i < 10; i++)
    t.not((await shown(larder)).serial, first.serial, 'nor does it come back')
  for (const response of site.slow) response.end('at last')
  t.equal((await slow).body, 'at last')
})

t.test(
  'a worker of another machine answers for the one that orders',
  {
    skip: withoutPebble || withoutRedis,
  },
  async (t) => {
    const redis = await startRedis(t)
    const site = await siteBehind(t, { redis: { url: redis.url } })
    // The authority looks here; who orders has no listener that it would reach.
    const asked = await startSite(t, { ...site, config: withoutOrders(site.config) }, site.httpPort)
    const orders = await startSite(t, site, await freePort())
    await waitFor(async () => /Pebble/.test((await shown(orders)).issuer), 30_000)
    t.match(await shown(asked), { issuer: /development/ })
  },
)

/** The machine takes part in answering; what it orders for itself the authority refuses at once. */
function withoutOrders(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const [tenant] = config.tenants as object[]
  const acme = { ...(config.acme as object), directory: 'https://127.0.0.1:9/dir' }
  return { ...config, acme, tenants: [{ ...tenant, id: 'elsewhere' }] }
}

t.test(
  'one order for two machines, and both serve it within 5 s',
  {
    skip: withoutPebble || withoutRedis,
  },
  async (t) => {
    const redis = await startRedis(t)
    const site = await siteBehind(t, {
      redis: { url: redis.url },
      certificates: { keyFile: 'seal.key' },
    })
    const machines = []
    for (const port of [site.httpPort, await freePort()]) {
      const folder = temporaryFolder(t)
      writeFileSync(join(folder, 'seal.key'), 'ab'.repeat(32), { mode: 0o600 })
      machines.push(startSite(t, site, port, folder))
    }
    const [first, second] = await Promise.all(machines)
    const isIssued = (larder: LarderProcess) => larder.stderr.includes('a certificate is issued')
    await waitFor(() => isIssued(first) || isIssued(second), 30_000)
    const { serial } = await shown(isIssued(first) ? first : second)
    const other = isIssued(first) ? second : first
    await waitFor(async () => (await shown(other)).serial === serial, 5_000)
    for (let i = 0; i < 10; i++) {
      for (const larder of [first, second])
        t.match(await shown(larder), { issuer: /Pebble/, serial })
    }
    t.equal(site.pebble.asked('new-order'), 1)
  },
)

t.test('the workers answer TLS-ALPN-01 at their own port (RFC 8737)', options, async (t) => {
  const tlsPort = await freePort()
  const site = await siteBehind(t, {}, { tlsPort })
  const acme = { ...(site.config.acme as object), challenges: ['tls-alpn-01'] }
  const folder = temporaryFolder(t)
  writeConfig(folder, { ...site.config, acme })
  writeFileSync(join(folder, 'hmac.key'), HMAC_KEY, { mode: 0o600 })
  const words = ['start', '--config', 'larder.json', '--workers', '2', '--admin', '127.0.0.1:0']
  const larder = await spawnLarder(
    t,
    [...words, '--https', `127.0.0.1:${tlsPort}`],
    folder,
  ).started()
  await waitFor(async () => /Pebble/.test((await shown(larder)).issuer), 30_000)
  t.notMatch(larder.stderr, /is not issued/)
})

import { once } from 'node:events'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
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
import { type Pebble, startPebble, withoutPebble } from '../support/pebble.ts'
import { freePort, startRedis, withoutRedis } from '../support/redis-server.ts'

const options = { skip: withoutPebble }
/** Of the external account. */
const HMAC_KEY = Buffer.alloc(32, 'hmac').toString('base64url')

interface Site {
  readonly pebble: Pebble
  readonly httpPort: number
  readonly config: Readonly<Record<string, unknown>>
}

/** A tenant whose certificate an authority issues that validates on `httpPort`. */
async function siteBehind(t: Test, more: Readonly<Record<string, unknown>> = {}): Promise<Site> {
  const httpPort = await freePort()
  const pebble = await startPebble(t, { httpPort, externalAccounts: { 'kid-1': HMAC_KEY } })
  const origin = await startOrigin(t, (request, response) => response.end(`origin ${request.url}`))
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
  return { pebble, httpPort, config }
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

/** Who has issued the certificate that a handshake shows, and its serial number. */
async function shown(larder: LarderProcess): Promise<{ issuer: string; serial: string }> {
  const socket = connect({
    port: larder.httpsPort,
    host: '127.0.0.1',
    servername: 'www.a.test',
    rejectUnauthorized: false,
  })
  await once(socket, 'secureConnect')
  const { issuer, serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return { issuer: String(issuer.CN), serial: serialNumber }
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

    const state = join(folder, '.larder/acme')
    const secrets: string[] = [HMAC_KEY]
    const files = readdirSync(state, { recursive: true, withFileTypes: true })
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

t.test('a worker that begins in the middle of a validation answers, too', options, async (t) => {
  const site = await siteBehind(t)
  const larder = await startSite(t, site, site.httpPort)
  larder.child.kill('SIGUSR2')
  await waitFor(async () => /Pebble/.test((await shown(larder)).issuer), 90_000)
  t.pass('issued, whichever worker was asked')
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

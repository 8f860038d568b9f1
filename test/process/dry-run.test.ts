import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { DryRun } from '../../packages/proxy/src/supervisor/dry-run.ts'
import {
  get,
  type LarderProcess,
  spawnLarder,
  startLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
} from '../support/larder-process.ts'

t.setTimeout(120_000)

const BODY_BYTES = 5_000
const HOST = 'shop.test'
const OTHER = 'news.test'

interface Proxy {
  readonly larder: LarderProcess
  /** Path of the host `shop.test`, or of another. */
  fetch(path: string, host?: string): Promise<void>
  asked(): number
}

async function startProxy(t: Test, more: Record<string, unknown> = {}): Promise<Proxy> {
  let asked = 0
  const origin = await startOrigin(t, (request, response) => {
    asked++
    response.setHeader('cache-control', 'max-age=3600')
    // A page carries its first path segment as a tag.
    response.setHeader('surrogate-key', `all ${request.url?.split('/')[1]}`)
    response.end('x'.repeat(BODY_BYTES))
  })
  const tenant = (id: string, host: string) => ({ id, hosts: [host], origins: [{ url: origin }] })
  const tenants = [tenant('shop', HOST), tenant('news', OTHER)]
  const larder = await startLarder(t, { tenants, ...more })
  const [url] = larder.urls('http')
  const fetch = async (path: string, host = HOST) => {
    t.equal((await get(url + path, { headers: { host } })).status, 200)
  }
  return { larder, fetch, asked: () => asked }
}

async function dryRun({ larder }: Proxy, body: Record<string, unknown>): Promise<DryRun> {
  const answer = await get(`${larder.adminUrl}/api/v1/purge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, dryRun: true }),
  })
  if (answer.status !== 200) throw new Error(answer.body)
  return JSON.parse(answer.body)
}

const SCOPES: readonly [purge: Record<string, unknown>, responses: number][] = [
  [{ type: 'url', urls: [`http://${HOST}/p/1`, `http://${HOST}/nothing`] }, 1],
  [{ type: 'prefix', prefixes: [`http://${HOST}/p/`] }, 3],
  [{ type: 'tag', tenant: 'shop', tags: ['p'] }, 3],
  [{ type: 'tag', tenant: 'shop', tags: ['all'] }, 4],
  [{ type: 'tag', tenant: 'shop', tags: ['all'], soft: true }, 4],
  [{ type: 'tenant', tenant: 'news' }, 1],
  [{ type: 'all', confirm: true }, 5],
]

async function fill(proxy: Proxy): Promise<void> {
  for (const path of ['/p/1', '/p/2', '/p/3', '/q/1']) await proxy.fetch(path)
  await proxy.fetch('/p/1', OTHER)
}

t.test('a dry run says what each kind of purge would cover, and changes nothing', async (t) => {
  const proxy = await startProxy(t)
  await fill(proxy)
  for (let i = 0; i < 5; i++) await proxy.fetch('/p/2')
  for (const [purge, responses] of SCOPES) {
    const answer = await dryRun(proxy, purge)
    const expected = { dryRun: true, responses, bytes: responses * BODY_BYTES, complete: true }
    t.match(answer, { ...expected, exact: true, disk: { responses: 0 } }, JSON.stringify(purge))
  }
  const { hottest } = await dryRun(proxy, { type: 'tag', tenant: 'shop', tags: ['p'] })
  t.equal(hottest.length, 3)
  t.equal(hottest[0].url, `http://${HOST}/p/2`)
  t.ok(hottest[0].uses >= 4, 'a few of them may have gone to the worker that read along')

  const words = ['purge', '--admin', proxy.larder.adminUrl, '--dry-run', 'tag', 'shop', 'p']
  const command = spawnLarder(t, words)
  t.equal(await command.ended(), 0)
  t.match(command.stdout, /^3 stored responses, 0\.0 MiB: 3 in memory, 0 on disk\n/)
  t.match(command.stdout, /Nothing was purged/)

  const asked = proxy.asked()
  await fill(proxy)
  t.equal(proxy.asked(), asked, 'all is still served')
})

t.test('what is in memory and on disk counts once; what is purged already does not', async (t) => {
  const path = join(temporaryFolder(t), 'cache')
  const proxy = await startProxy(t, { disk: { path, maxSize: '64MiB' } })
  await fill(proxy)
  const tag = { type: 'tag', tenant: 'shop', tags: ['all'] }
  // The disk is written behind the answer, and the process that counts has to have found the index.
  await waitFor(async () => (await dryRun(proxy, tag)).disk.responses === 4)
  for (const [purge, responses] of SCOPES) {
    const answer = await dryRun(proxy, purge)
    t.match(answer, { responses, bytes: responses * BODY_BYTES, complete: true, exact: true })
    t.match(answer, { memory: { responses }, disk: { responses } }, JSON.stringify(purge))
  }
  // Memory goes with the workers.
  proxy.larder.child.kill('SIGUSR2')
  await waitFor(() => proxy.larder.stderr.includes('workers are replaced'), 30_000)
  t.match(await dryRun(proxy, tag), { responses: 4, memory: { responses: 0 }, hottest: [] })

  const purge = ['purge', '--admin', proxy.larder.adminUrl, '--wait', 'prefix', `http://${HOST}/p/`]
  t.equal(await spawnLarder(t, purge).ended(), 0)
  t.match(await dryRun(proxy, tag), { responses: 1, disk: { responses: 1 } })
})

t.test('a dry run is refused as the purge would be', async (t) => {
  const proxy = await startProxy(t)
  await t.rejects(dryRun(proxy, { type: 'tag', tags: ['p'] }), /The purge is refused/)
  await t.rejects(dryRun(proxy, { type: 'tag', tenant: 'shop' }), /The purge is refused/)
  const answer = await get(`${proxy.larder.adminUrl}/api/v1/purge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'all', confirm: true, dryRun: 'yes' }),
  })
  t.match(answer, { status: 400, body: /'dryRun' is true or false/ })
})

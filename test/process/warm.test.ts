import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
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

/** Names that lead nowhere: all is asked of the proxy. */
const HOST = 'shop.test'
const sitemapOf = (urls: readonly string[], kind = 'urlset') =>
  `<${kind}>${urls.map((url) => `<x><loc>${url}</loc></x>`).join('')}</${kind}>`

interface Site {
  readonly origin: string
  /** Path → how often the origin was asked. */
  readonly asked: Map<string, number>
}

async function startSite(t: Test): Promise<Site> {
  const asked = new Map<string, number>()
  const origin = await startOrigin(t, (request, response) => {
    const path = request.url ?? ''
    asked.set(path, (asked.get(path) ?? 0) + 1)
    response.setHeader('cache-control', 'max-age=3600')
    if (path === '/index.xml') {
      const maps = [`http://${HOST}/one.xml`, `http://${HOST}/two.xml.gz`]
      response.end(sitemapOf(maps, 'sitemapindex'))
    } else if (path === '/one.xml') response.end(sitemapOf([`http://${HOST}/a`]))
    else if (path === '/two.xml.gz') {
      response.end(gzipSync(sitemapOf([`http://${HOST}/b`, `http://${HOST}/c`])))
    } else {
      if (path.startsWith('/missing')) response.statusCode = 404
      response.end(`answer to ${path}`)
    }
  })
  return { origin, asked }
}

function startProxy(t: Test, origin: string, more: Record<string, unknown> = {}) {
  const tenants = [{ id: 'shop', hosts: ['*'], origins: [{ url: origin }] }]
  return startLarder(t, { tenants, ...more })
}

async function run(t: Test, larder: LarderProcess, words: readonly string[], folder?: string) {
  const http = ['--http', `127.0.0.1:${larder.httpPort}`]
  const command = spawnLarder(t, ['warm', ...http, ...words], folder)
  const status = await command.ended()
  return { status, stdout: command.stdout, stderr: command.stderr }
}

async function expectWarm(t: Test, larder: LarderProcess, site: Site, paths: readonly string[]) {
  const before = new Map(site.asked)
  for (const path of paths) {
    t.equal(before.get(path), 1, `${path} was fetched once`)
    const answer = await get(`${larder.urls('http')[0]}${path}`, { headers: { host: HOST } })
    t.equal(answer.body, `answer to ${path}`)
    t.equal(site.asked.get(path), 1, `${path} is stored`)
  }
}

t.test('larder warm fetches URLs from words, a file and a sitemap index', async (t) => {
  const site = await startSite(t)
  const larder = await startProxy(t, site.origin)
  const words = await run(t, larder, [`http://${HOST}/1`, `http://${HOST}/2`, `http://${HOST}/1#x`])
  t.match(words, { status: 0, stdout: /^2 of 2 URLs/ })
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'urls'), `# pages\nhttp://${HOST}/3\n\nhttp://${HOST}/4\n`)
  t.match(await run(t, larder, ['--file', 'urls'], folder), { status: 0 })
  const sitemap = await run(t, larder, ['--json', '--sitemap', `http://${HOST}/index.xml`])
  t.equal(sitemap.status, 0, sitemap.stderr)
  t.match(JSON.parse(sitemap.stdout), { urls: 3, fetched: 3, failed: 0, complete: true })
  await expectWarm(t, larder, site, ['/1', '/2', '/3', '/4', '/a', '/b', '/c'])
})

t.test('larder warm ends with status 1 when a URL cannot be had, and says which', async (t) => {
  const site = await startSite(t)
  const larder = await startProxy(t, site.origin)
  const some = await run(t, larder, [`http://${HOST}/missing`, `http://${HOST}/1`])
  t.match(some, { status: 1, stdout: /^1 of 2 URLs[\s\S]*1 failed:\n {2}\S+\/missing: status 404/ })
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'urls'), 'not a URL\n')
  const bad = await run(t, larder, ['--file', 'urls'], folder)
  t.match(bad, { status: 1, stderr: /urls:1: expected a URL per line, got 'not a URL'/ })
  t.match(await run(t, larder, []), { status: 2, stderr: /one of them/ })
  t.match(await run(t, larder, ['--rate', 'fast', `http://${HOST}/`]), {
    status: 2,
    stderr: /50\/s/,
  })
})

t.test('larder warm asks for https: URLs by TLS, under the name in the URL', async (t) => {
  const site = await startSite(t)
  const tenant = { id: 'shop', hosts: [HOST], origins: [{ url: site.origin }] }
  const config = { tenants: [{ ...tenant, certificate: 'self-signed' }] }
  const larder = await startLarder(t, config, ['--https', '127.0.0.1:0'])
  const https = ['--https', `127.0.0.1:${larder.httpsPort}`]
  const warmed = await run(t, larder, [...https, `https://${HOST}/secure`])
  t.equal(warmed.status, 0, warmed.stdout)
  t.equal(site.asked.get('/secure'), 1)
  const none = await run(t, larder, ['--https', '127.0.0.1:1', `https://${HOST}/other`])
  t.match(none, { status: 1, stdout: /ECONNREFUSED/ })
})

t.test('larder warm begins no more requests than its rate allows', async (t) => {
  const site = await startSite(t)
  const larder = await startProxy(t, site.origin)
  const urls = Array.from({ length: 11 }, (_, i) => `http://${HOST}/${i}`)
  const startedAt = performance.now()
  t.match(await run(t, larder, ['--rate', '10/s', ...urls]), { status: 0 })
  t.ok(performance.now() - startedAt >= 1000, 'ten intervals of 100 ms lie between eleven requests')
})

t.test('a proxy warms itself from its sibling, and is ready only then', async (t) => {
  const site = await startSite(t)
  const sibling = await startProxy(t, site.origin)
  const [url] = sibling.urls('http')
  for (const [path, times] of [
    ['/hot', 4],
    ['/warm', 2],
    ['/cold', 1],
  ] as const) {
    for (let i = 0; i < times; i++) await get(url + path, { headers: { host: HOST } })
  }
  const hot = JSON.parse((await get(`${sibling.adminUrl}/api/v1/hot?limit=2`)).body)
  t.match(hot, {
    complete: true,
    urls: [
      { url: `http://${HOST}/hot`, tenant: 'shop' },
      { url: `http://${HOST}/warm`, tenant: 'shop' },
    ],
  })
  t.equal(hot.urls.length, 2)
  t.equal((await get(`${sibling.adminUrl}/api/v1/hot?limit=none`)).status, 400)

  const own = await startSite(t)
  // Three URLs with two seconds in between: long enough to be seen warming.
  const warm = { from: `${sibling.adminUrl}/`, rate: '30/m' }
  const larder = await startProxy(t, own.origin, { warm })
  const ready = await get(`${larder.adminUrl}/readyz`)
  t.equal(ready.status, 503)
  t.match(JSON.parse(ready.body), { state: 'warming', detail: 'The proxy is warming.' })
  await waitFor(async () => (await get(`${larder.adminUrl}/readyz`)).status === 200)
  await expectWarm(t, larder, own, ['/hot', '/warm', '/cold'])
})

t.test('a proxy that cannot warm itself in time is ready all the same', async (t) => {
  const site = await startSite(t)
  const folder = temporaryFolder(t)
  const urls = Array.from({ length: 100 }, (_, i) => `http://${HOST}/${i}`)
  writeFileSync(join(folder, 'urls'), urls.join('\n'))
  const warm = { from: join(folder, 'urls'), rate: '60/m', atMost: '1s' }
  const larder = await startProxy(t, site.origin, { warm })
  await waitFor(async () => (await get(`${larder.adminUrl}/readyz`)).status === 200)
  t.ok(site.asked.size < 10)

  const lost = await startProxy(t, site.origin, { warm: { from: 'no-such-file' } })
  await waitFor(async () => (await get(`${lost.adminUrl}/readyz`)).status === 200)
  t.match(lost.stderr, /nothing was warmed/)
})

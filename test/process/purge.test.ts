import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createPurgeClient, type Receipt } from '@larder/purge-bus'
import t from 'tap'
import {
  get,
  type LarderProcess,
  spawnLarder,
  startLarder,
  temporaryFolder,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import {
  startVersionedOrigin,
  type VersionedOrigin,
  versionsSeen,
} from '../support/versioned-origin.ts'

const MAIN = fileURLToPath(new URL('../../packages/proxy/src/cli/main.ts', import.meta.url))
const run = promisify(execFile)

t.setTimeout(120_000)

const tenants = ({ url }: VersionedOrigin) => [{ id: 'acme', hosts: ['*'], origins: [{ url }] }]

interface PurgeAnswer {
  readonly status: number
  readonly body: Receipt & { readonly detail?: string }
}

async function post(larder: LarderProcess, body: unknown, headers = {}): Promise<PurgeAnswer> {
  const response = await fetch(`${larder.adminUrl}/api/v1/purge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as PurgeAnswer['body'] }
}

/** `larder purge …`; resolves to its exit status and what it printed. */
async function purge(
  larder: LarderProcess,
  ...words: string[]
): Promise<{ status: number; stdout: string; stderr: string }> {
  const all = [MAIN, 'purge', '--admin', larder.adminUrl, ...words]
  try {
    return { status: 0, ...(await run(process.execPath, all)) }
  } catch (error) {
    // What execFile rejects with.
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { status: code, stdout, stderr }
  }
}

t.test('every door of a machine alone, on every worker, with a receipt', async (t) => {
  const origin = await startVersionedOrigin(t)
  const larder = await startLarder(t, {
    tenants: tenants(origin),
    purge: { purgeFrom: ['127.0.0.1/32'] },
  })
  const base = `http://127.0.0.1:${larder.httpPort}`
  const doors: [name: string, send: () => Promise<unknown>][] = [
    ['POST', () => post(larder, { type: 'tag', tenant: 'acme', tags: ['all'] })],
    ['POST url', () => post(larder, { type: 'url', urls: [`${base}/a`] })],
    ['POST prefix', () => post(larder, { type: 'prefix', prefixes: [`${base}/`] })],
    ['POST all', () => post(larder, { type: 'all', confirm: true })],
    ['PURGE', () => fetch(`${base}/a`, { method: 'PURGE' })],
    ['Cache-Group-Invalidation', () => fetch(`${base}/invalidates`, { method: 'POST' })],
    ['larder purge', () => purge(larder, '--wait', 'tenant', 'acme')],
    ['larder purge url', () => purge(larder, '--wait', 'url', `${base}/a`)],
  ]
  for (const [name, send] of doors) {
    await versionsSeen(larder, '/a')
    t.same(await versionsSeen(larder, '/a'), [origin.version], `before ${name}`)
    origin.version++
    await send()
    // Nobody waits for the receipt of this one.
    if (name.startsWith('Cache')) {
      await waitFor(async () => !(await versionsSeen(larder, '/a')).includes(origin.version - 1))
    }
    t.same(await versionsSeen(larder, '/a'), [origin.version], name)
  }
  const { status, body } = await post(larder, { type: 'tag', tenant: 'acme', tags: ['x'] })
  t.equal(status, 200)
  t.match(body, { state: 'applied', machines: 1, workers: 2, missing: [] })
  t.type(body.slowestMs, 'number')
  const again = await get(`${larder.adminUrl}/api/v1/purge/${body.id}`)
  t.match(JSON.parse(again.body), { id: body.id, number: body.number, workers: 2, missing: [] })
  t.equal((await get(`${larder.adminUrl}/api/v1/purge/nothing`)).status, 404)
})

t.test('what is not understood changes nothing, and says what is expected', async (t) => {
  const origin = await startVersionedOrigin(t)
  const larder = await startLarder(t, { tenants: tenants(origin) })
  await versionsSeen(larder, '/a')
  origin.version++
  const rows: [body: unknown, reason: RegExp][] = [
    [
      { type: 'tags', tenant: 'acme', tags: ['all'] },
      /'type' is one of url, prefix, tag, tenant, all/,
    ],
    [{ type: 'tag', tags: ['all'] }, /'tenant' is the id of a tenant/],
    [{ type: 'all' }, /"confirm": true/],
    [{ type: 'url', urls: ['/a'] }, /absolute URLs like/],
    [{ type: 'url', urls: [`http://127.0.0.1/a`], sofft: true }, /no member "sofft"/],
    [{ type: 'tenant', tenant: 'acme', at: 'soon' }, /'at' is a time like/],
    [{ type: 'tenant', tenant: 'acme', wait: '5' }, /'wait' is a time like 5s/],
  ]
  for (const [body, reason] of rows) {
    const { status, body: problem } = await post(larder, body)
    t.equal(status, 400)
    t.match(problem.detail, reason)
  }
  const { status, stderr } = await purge(larder, 'tags', 'acme')
  t.equal(status, 2)
  t.match(stderr, /'tags' is no kind of purge/)
  // Not from an address that is named, and never passed on.
  const refused = await fetch(`http://127.0.0.1:${larder.httpPort}/a`, { method: 'PURGE' })
  t.equal(refused.status, 403)
  t.match(await refused.text(), /purge\.purgeFrom/)
  t.same(await versionsSeen(larder, '/a'), [1])
})

t.test('a token of one tenant reaches that tenant alone', async (t) => {
  const origin = await startVersionedOrigin(t)
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'acme.token'), 'the-secret-of-one-tenant')
  writeFileSync(join(folder, 'ops.token'), 'the-secret-of-the-operators')
  writeConfig(folder, {
    tenants: [
      { id: 'acme', hosts: ['acme.test'], origins: [{ url: origin.url }] },
      { id: 'other', hosts: ['*'], origins: [{ url: origin.url }] },
    ],
    admin: {
      tokens: [
        { name: 'ops', secretFile: 'ops.token', role: 'admin' },
        { name: 'ci', secretFile: 'acme.token', role: 'purge', tenant: 'acme' },
      ],
    },
  })
  const ports = ['--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '2']
  const larder = await spawnLarder(
    t,
    ['start', '--config', 'larder.json', ...ports],
    folder,
  ).started()
  const ci = { authorization: 'Bearer the-secret-of-one-tenant' }
  const rows: [body: unknown, status: number][] = [
    [{ type: 'tag', tags: ['all'] }, 200],
    [{ type: 'tag', tenant: 'other', tags: ['all'] }, 403],
    [{ type: 'tenant', tenant: 'other' }, 403],
    [{ type: 'tenant' }, 200],
    [{ type: 'all', confirm: true }, 403],
    [{ type: 'url', urls: ['http://acme.test/a'] }, 200],
    [{ type: 'url', urls: ['http://acme.test/a', 'http://other.test/a'] }, 403],
    [{ type: 'prefix', prefixes: ['https://other.test/'] }, 403],
  ]
  for (const [body, status] of rows) {
    t.equal((await post(larder, body, ci)).status, status, JSON.stringify(body))
  }
  t.equal((await post(larder, { type: 'all', confirm: true })).status, 401)
  const ops = { authorization: 'Bearer the-secret-of-the-operators' }
  t.equal((await post(larder, { type: 'all', confirm: true }, ops)).status, 200)
})

t.test('the same reference is the same purge; one for later comes later', async (t) => {
  const origin = await startVersionedOrigin(t)
  const larder = await startLarder(t, { tenants: tenants(origin) })
  const message = { type: 'tenant', tenant: 'acme' }
  const first = await post(larder, message, { 'idempotency-key': 'deploy-7' })
  const second = await post(larder, { ...message, reference: 'deploy-7' })
  t.equal(second.body.number, first.body.number)
  t.not((await post(larder, message)).body.number, first.body.number)
  await versionsSeen(larder, '/a')
  origin.version++
  const at = new Date(Date.now() + 1_500).toISOString()
  const later = await post(larder, { ...message, at })
  t.match(later, { status: 202, body: { state: 'scheduled', number: null } })
  t.same(await versionsSeen(larder, '/a'), [1])
  await waitFor(async () => (await versionsSeen(larder, '/a')).includes(2))
  t.same(await versionsSeen(larder, '/a'), [2])
})

t.test(
  'a worker that is killed, and a proxy that is killed as a whole, forget no purge',
  async (t) => {
    const origin = await startVersionedOrigin(t)
    const disk = { path: join(temporaryFolder(t), 'cache'), maxSize: '64MiB' }
    const folder = temporaryFolder(t)
    writeConfig(folder, { tenants: tenants(origin), disk })
    const words = [
      'start',
      '--config',
      'larder.json',
      '--http',
      '127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
      '--workers',
      '2',
    ]
    const first = await spawnLarder(t, words, folder).started()
    const seen = (larder: LarderProcess) =>
      get(`http://127.0.0.1:${larder.httpPort}/a`, { headers: { host: 'www.test' } })
    await seen(first)
    await waitFor(async () => /hit/.test(String((await seen(first)).headers['cache-status'])))
    origin.version = 2
    t.equal((await post(first, { type: 'url', urls: ['http://www.test/a'] })).status, 200)
    const [{ pid }] = await first.workers()
    process.kill(pid ?? 0, 'SIGKILL')
    await waitFor(async () =>
      (await first.workers()).every((w) => w.pid !== pid && w.state === 'serving'),
    )
    for (let i = 0; i < 6; i++) t.equal((await seen(first)).body, '2')
    await waitFor(async () => /hit/.test(String((await seen(first)).headers['cache-status'])))
    origin.version = 3
    t.equal((await post(first, { type: 'tag', tenant: 'acme', tags: ['all'] })).status, 200)
    const pids = (await first.workers()).map((worker) => worker.pid ?? 0)
    first.child.kill('SIGKILL')
    for (const each of pids) process.kill(each, 'SIGKILL')
    await first.ended()
    const second = await spawnLarder(t, words, folder).started()
    for (let i = 0; i < 6; i++) t.equal((await seen(second)).body, '3')
  },
)

t.test('the client library over the admin API', async (t) => {
  const origin = await startVersionedOrigin(t)
  const larder = await startLarder(t, { tenants: tenants(origin) })
  await versionsSeen(larder, '/a')
  origin.version++
  const client = createPurgeClient({ url: larder.adminUrl })
  t.teardown(() => client.close())
  const receipt = await client.purge('tag acme all', { waitMs: 5_000 })
  t.match(receipt, { state: 'applied', workers: 2, missing: [] })
  t.same(await versionsSeen(larder, '/a'), [2])
})

t.test('a worker that hangs is named as missing', async (t) => {
  const origin = await startVersionedOrigin(t)
  const larder = await startLarder(t, { tenants: tenants(origin) })
  const [{ pid }] = await larder.workers()
  process.kill(pid ?? 0, 'SIGSTOP')
  const { status, body } = await post(larder, { type: 'tenant', tenant: 'acme', wait: '500ms' })
  t.equal(status, 202)
  t.match(body, {
    state: 'waiting',
    workers: 1,
    missing: [{ worker: `worker 0 (pid ${pid})`, reason: 'late' }],
  })
  const command = await purge(larder, '--wait', '--limit', '0.3', 'tenant', 'acme')
  t.equal(command.status, 1)
  t.match(command.stdout, /missing: .*worker 0 \(pid \d+\): late/)
  // The watchdog replaces it; the receipt does not wait for the dead.
  await waitFor(async () => {
    const { body: text } = await get(`${larder.adminUrl}/api/v1/purge/${body.id}`)
    return JSON.parse(text).state === 'applied'
  }, 20_000)
})

t.test('machines of one Redis', { skip: withoutRedis }, async (t) => {
  const redis = await startRedis(t)
  const origin = await startVersionedOrigin(t)
  const config = { tenants: tenants(origin), redis: { url: redis.url } }
  const machines = [await startLarder(t, config), await startLarder(t, config)]
  const everywhere = async (path: string) => {
    const seen = await Promise.all(machines.map((machine) => versionsSeen(machine, path)))
    return [...new Set(seen.flat())]
  }
  const inForce = () => waitFor(async () => (await everywhere('/a')).join() === `${origin.version}`)
  await everywhere('/a')

  await t.test('a purge by HTTP is in force on both when it is answered', async (t) => {
    origin.version++
    const { status, body } = await post(machines[0], { type: 'tag', tenant: 'acme', tags: ['all'] })
    t.equal(status, 200)
    t.match(body, { state: 'applied', machines: 2, workers: 4, missing: [] })
    t.same(await everywhere('/a'), [origin.version])
  })

  await t.test('redis-cli, in words and in JSON, has one number on all of them', async (t) => {
    for (const words of [
      'tag acme all',
      'soft tag acme nothing',
      '{"type":"tenant","tenant":"acme"}',
      'all',
    ]) {
      const before = await numberOf(machines[0])
      if (!words.startsWith('soft')) origin.version++
      await redis.cli('publish', 'larder:purge', words)
      await inForce()
      await waitFor(async () => (await numberOf(machines[1])) === before + 1)
      t.equal(await numberOf(machines[0]), before + 1, words)
    }
  })

  await t.test('what redis-cli gets wrong is answered where it can be heard', async (t) => {
    const client = redis.connect(t)
    const heard: string[] = []
    await client.subscribe('larder:purge:errors')
    client.on('message', (_channel, text: string) => heard.push(text))
    const before = await numberOf(machines[0])
    await redis.cli('publish', 'larder:purge', 'tags acme all')
    await waitFor(() => heard.length > 0)
    t.match(heard[0], /'tags' is no kind of purge/)
    t.equal(await numberOf(machines[0]), before)
    await waitFor(() => machines.every(({ stderr }) => /a purge is not understood/.test(stderr)))
  })

  await t.test('while Redis is away: in force here at once, there when it is back', async (t) => {
    await redis.kill()
    await waitFor(() => machines.every(({ stderr }) => /"state":"cut-off"/.test(stderr)), 10_000)
    await waitFor(async () => {
      const { headers } = await get(`http://127.0.0.1:${machines[0].httpPort}/a`)
      return /^Larder; hit.*detail=bus-lost/.test(String(headers['cache-status']))
    })
    t.equal(
      (await get(`${machines[0].adminUrl}/readyz`)).status,
      200,
      'a lost bus is not a lost site',
    )
    origin.version++
    const { status, body } = await post(machines[0], {
      type: 'url',
      urls: [`http://127.0.0.1:${machines[0].httpPort}/a`],
      wait: '200ms',
    })
    t.equal(status, 202)
    t.equal(body.state, 'pending')
    t.same(await versionsSeen(machines[0], '/a'), [origin.version])
    const tenant = await post(machines[0], { type: 'tenant', tenant: 'acme', wait: '200ms' })
    t.equal(tenant.body.state, 'pending')
    t.match(JSON.parse((await get(`${machines[0].adminUrl}/api/v1/stats`)).body), {
      purges: { pending: 2 },
    })
    await redis.start()
    await inForce()
    await waitFor(async () => {
      const receipt = await get(`${machines[0].adminUrl}/api/v1/purge/${tenant.body.id}`)
      return JSON.parse(receipt.body).state === 'applied'
    }, 10_000)
  })
})

async function numberOf(machine: LarderProcess): Promise<number> {
  const { body } = await get(`${machine.adminUrl}/api/v1/stats`)
  return JSON.parse(body).purges.number
}

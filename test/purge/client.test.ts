import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { createPurgeClient, embeddedBus, parsePurge } from '@larder/purge-bus'
import t, { type Test } from 'tap'
import {
  addWorkers,
  Heard,
  resolve,
  tagPurge,
  waitFor,
} from '../../packages/purge-bus/src/test-support/bus-under-test.ts'
import { temporaryFolder } from '../support/larder-process.ts'
import { startCluster } from '../support/redis-deployments.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { startBus } from './redis-buses.ts'

const options = { skip: withoutRedis, timeout: 90_000 }

t.test('through Redis: every worker of every machine is waited for', options, async (t) => {
  const server = await startRedis(t)
  const redis = { url: server.url }
  for (const machine of ['m1', 'm2']) {
    const under = await startBus(t, { redis, machine })
    addWorkers(under, 'w0', 'w1')
  }
  const client = createPurgeClient({ redis, prefix: 'test:' })
  t.teardown(() => client.close())
  await client.purge('tag acme warm')
  const receipt = await client.purge({ type: 'tag', tenant: 'acme', tags: ['a'] })
  t.match(receipt, { state: 'applied', machines: 2, workers: 4, missing: [] })
  t.ok(receipt.slowestMs !== null)
  const once = tagPurge('b', { reference: 'r-1' })
  t.equal((await client.purge(once)).id, (await client.purge(once)).id)
  const later = await client.purge({ ...tagPurge('later'), at: Date.now() + 600_000 })
  t.equal(later.state, 'scheduled')
  await t.rejects(client.purge('everything'), {
    code: 'PURGE_REFUSED',
    message: /no kind of purge/,
  })
})

t.test('through a cluster', options, async (t) => {
  const servers = await startCluster(t)
  const redis = { cluster: servers.map(({ url }) => url) }
  const under = await startBus(t, { redis })
  addWorkers(under, 'w0')
  const client = createPurgeClient({ redis, prefix: 'test:' })
  t.teardown(() => client.close())
  t.match(await client.purge('all'), { state: 'applied', machines: 1, workers: 1 })
})

t.test('without Redis the caller is told to try again', options, async (t) => {
  const server = await startRedis(t)
  const client = createPurgeClient({ redis: { url: server.url } })
  t.teardown(() => client.close())
  await server.kill()
  await t.rejects(client.purge('all'), /publish again later|no answer|closed|ECONN/)
})

/** An admin API as far as purges go. */
async function startAdmin(t: Test): Promise<{ url: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = []
  const heard = new Heard()
  const bus = await embeddedBus({
    machine: 'here',
    folder: temporaryFolder(t),
    table: { resolve },
    events: heard,
  })
  addWorkers({ bus, heard }, 'w0')
  const server = createServer(async (request, response) => {
    requests.push(request)
    const parsed = parsePurge(await text(request))
    if (request.headers.authorization !== 'Bearer sesame') response.writeHead(403).end('no')
    else if (!parsed.ok) response.writeHead(400).end(parsed.reason)
    else response.end(JSON.stringify(await bus.publish(parsed.message, { waitMs: 5_000 })))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    server.closeAllConnections()
    await bus.stop()
  })
  // A server that listens on TCP has an address with a port.
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

t.test('through HTTP: token, reference and waiting are sent along', async (t) => {
  const { url, requests } = await startAdmin(t)
  const client = createPurgeClient({ url, token: 'sesame' })
  const receipt = await client.purge(tagPurge('a', { reference: 'r-1' }))
  t.match(receipt, { state: 'applied', workers: 1 })
  t.equal(requests[0].headers['idempotency-key'], 'r-1')
  t.equal(requests[0].url, '/api/v1/purge?wait=5000ms')
  t.equal((await client.purge('soft all', { waitMs: 0 })).state, 'applied')
  t.equal(requests[1].url, '/api/v1/purge?wait=false')
  const stranger = createPurgeClient({ url, token: 'guess' })
  await t.rejects(stranger.purge('all'), { code: 'PURGE_REFUSED', message: /403/ })
  await client.close()
})

t.test(
  'a Redis that has just started: the client waits until numbers are given',
  options,
  async (t) => {
    const server = await startRedis(t)
    const redis = { url: server.url }
    const client = createPurgeClient({ redis, prefix: 'test:' })
    t.teardown(() => client.close())
    const receipt = await client.purge('tag acme a', { waitMs: 0 })
    t.match(receipt, { number: 1, machines: 0 })
    const late = await startBus(t, { redis })
    await waitFor(() => late.heard.tags.includes('a'))
  },
)

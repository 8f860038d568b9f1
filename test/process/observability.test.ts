import { once } from 'node:events'
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import {
  get,
  type LarderProcess,
  startLarder,
  startOrigin,
  waitFor,
} from '../support/larder-process.ts'

const LOG = 'access.log'

async function start(t: import('tap').Test, access: Record<string, unknown> = {}) {
  const origin = await startOrigin(t, (request, response) => {
    if (request.url === '/endless') {
      response.write('the first of many')
      return
    }
    response.setHeader('cache-control', 'max-age=60')
    response.end('body')
  })
  const tenants = [{ id: 'acme', hosts: ['acme.test'], origins: [{ url: origin, name: 'main' }] }]
  const logging = { access: { output: LOG, ...access } }
  return startLarder(t, { tenants, logging }, ['--workers', '1'])
}

async function linesOf(larder: LarderProcess, count: number, name = LOG) {
  const file = join(larder.folder, name)
  const read = () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [])
  await waitFor(() => read().length >= count)
  return read().map((line) => JSON.parse(line))
}

const ask = (larder: LarderProcess, path: string) =>
  get(larder.urls('http')[0] + path, { headers: { host: 'acme.test' } })

t.test('the access log tells of a miss and of a hit', async (t) => {
  const larder = await start(t)
  await ask(larder, '/a?x=1')
  await ask(larder, '/a?x=1')
  const [miss, hit] = await linesOf(larder, 2)
  const common = {
    client: '127.0.0.1',
    tenant: 'acme',
    method: 'GET',
    scheme: 'http',
    host: 'acme.test',
    target: '/a?x=1',
    protocol: 'HTTP/1.1',
    status: 200,
    bytes: 4,
  }
  t.match(miss, { ...common, cache: 'uri-miss', stored: true, origin: 'main', originStatus: 200 })
  t.match(hit, { ...common, cache: 'hit', durationMs: Number, time: /^\d{4}-.*Z$/ })
  t.notOk('origin' in hit)
})

t.test('addresses are truncated and queries redacted where that is asked for', async (t) => {
  const larder = await start(t, { truncateAddresses: true, redactQuery: ['token'] })
  await ask(larder, '/a?token=secret&x=1')
  const [line] = await linesOf(larder, 1)
  t.match(line, { client: '127.0.0.0/24', target: '/a?token=-&x=1' })
})

t.test('a response that its client did not wait for is logged as incomplete', async (t) => {
  const larder = await start(t)
  const client = connect(larder.httpPort, '127.0.0.1')
  client.write('GET /endless HTTP/1.1\r\nHost: acme.test\r\n\r\n')
  await once(client, 'data')
  // A mere FIN would say no more than that the request is over (RFC 9112 §9.6).
  client.resetAndDestroy()
  const [line] = await linesOf(larder, 1)
  t.match(line, { target: '/endless', status: 200, complete: false })
})

t.test('a log that was moved away is opened anew by a reload', async (t) => {
  const larder = await start(t)
  await ask(larder, '/before')
  await linesOf(larder, 1)
  renameSync(join(larder.folder, LOG), join(larder.folder, 'moved.log'))
  larder.child.kill('SIGHUP')
  await waitFor(() => larder.stderr.includes('configuration applied'))
  await ask(larder, '/after')
  t.match(await linesOf(larder, 1), [{ target: '/after' }])
  t.match(await linesOf(larder, 1, 'moved.log'), [{ target: '/before' }])
})

t.test('metrics are those of all workers and never go back when one has died', async (t) => {
  const origin = await startOrigin(t, (_request, response) => response.end('x'))
  const larder = await startLarder(t, {
    tenants: [{ id: 'a', hosts: ['*'], origins: [{ url: origin }] }],
  })
  const requests = async () => {
    const { body } = await get(`${larder.adminUrl}/metrics`)
    const lines = body.matchAll(/^larder_requests_total\{.*\} (\d+)$/gm)
    return [...lines].reduce((sum, [, count]) => sum + Number(count), 0)
  }
  const url = larder.urls('http')[0]
  await Promise.all(Array.from({ length: 40 }, (_, index) => get(`${url}/${index}`)))
  await waitFor(async () => (await requests()) === 40)
  const [victim] = await larder.workers()
  process.kill(victim.pid ?? 0, 'SIGKILL')
  await waitFor(async () => {
    const [worker] = await larder.workers()
    return worker.pid !== victim.pid && worker.state === 'serving'
  })
  t.equal(await requests(), 40, 'what the dead one had counted stays')
  await Promise.all(Array.from({ length: 20 }, (_, index) => get(`${url}/${index}`)))
  await waitFor(async () => (await requests()) === 60)
  const { body } = await get(`${larder.adminUrl}/metrics`)
  t.match(body, /^larder_request_duration_seconds_count 60$/m)
})

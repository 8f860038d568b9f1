import t from 'tap'
import {
  get,
  type LarderProcess,
  startLarder,
  startOrigin,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'

async function namedOrigin(t: import('tap').Test, name: string): Promise<string> {
  return startOrigin(t, (_request, response) => {
    response.setHeader('cache-control', 'no-store')
    response.end(name)
  })
}

const tenant = (id: string, url: string) => ({ id, hosts: [`${id}.test`], origins: [{ url }] })

async function bodyFor(larder: LarderProcess, host: string): Promise<string> {
  const { status, body } = await get(larder.urls('http')[0], { headers: { host } })
  return status === 200 ? body : String(status)
}

const reload = (larder: LarderProcess) =>
  get(`${larder.adminUrl}/api/v1/reload`, { method: 'POST' })

t.test('a new configuration is on every worker when the call returns', async (t) => {
  const [one, two] = [await namedOrigin(t, 'one'), await namedOrigin(t, 'two')]
  const larder = await startLarder(t, { tenants: [tenant('a', one)] })
  t.equal(await bodyFor(larder, 'b.test'), '421', 'a host that nobody has (RFC 9110 §15.5.20)')
  writeConfig(larder.folder, { tenants: [tenant('a', two), tenant('b', one)] })
  const answer = await reload(larder)
  t.equal(answer.status, 200, answer.body)
  const bodies = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      bodyFor(larder, index % 2 === 0 ? 'a.test' : 'b.test'),
    ),
  )
  t.ok(bodies.every((body, index) => body === (index % 2 === 0 ? 'two' : 'one')))
})

t.test('a bad configuration is refused as a whole and the one before stays', async (t) => {
  const one = await namedOrigin(t, 'one')
  const larder = await startLarder(t, { tenants: [tenant('a', one)] })
  const bad = { timeouts: { idle: 5 }, tenants: [tenant('b', one), tenant('b', one)] }
  writeConfig(larder.folder, bad)
  const answer = await reload(larder)
  t.equal(answer.status, 422)
  const { problems } = JSON.parse(answer.body)
  t.match(problems, [
    /larder.json:\d+:\d+ {2}timeouts.idle: .*Write its unit/,
    /already the id/,
    /already/,
  ])
  t.equal(await bodyFor(larder, 'a.test'), 'one')
  t.equal(await bodyFor(larder, 'b.test'), '421')
  t.match(larder.stderr, /configuration refused/)
})

t.test('SIGHUP reads the file again, and connections stay', async (t) => {
  const [one, two] = [await namedOrigin(t, 'one'), await namedOrigin(t, 'two')]
  const larder = await startLarder(t, { tenants: [tenant('a', one)] })
  const { Agent } = await import('node:http')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  let connections = 0
  agent.on('free', (socket: { once: (event: string, listener: () => void) => void }) => {
    socket.once('close', () => connections++)
  })
  const ask = () => get(larder.urls('http')[0], { agent, headers: { host: 'a.test' } })
  t.equal((await ask()).body, 'one')
  writeConfig(larder.folder, { tenants: [tenant('a', two)] })
  larder.child.kill('SIGHUP')
  await waitFor(() => larder.stderr.includes('configuration applied'))
  t.equal((await ask()).body, 'two')
  t.equal(connections, 0, 'the connection of before was used again')
})

t.test('a changed file is applied by itself with watch: true', async (t) => {
  const [one, two] = [await namedOrigin(t, 'one'), await namedOrigin(t, 'two')]
  const larder = await startLarder(t, { watch: true, tenants: [tenant('a', one)] })
  writeConfig(larder.folder, { watch: true, tenants: [tenant('a', two)] })
  await waitFor(async () => (await bodyFor(larder, 'a.test')) === 'two')
  t.match(larder.stderr, /configuration applied/)
})

t.test('reloads under load lose no request', async (t) => {
  const one = await namedOrigin(t, 'one')
  const larder = await startLarder(t, { tenants: [tenant('a', one)] })
  let isDone = false
  const failed: string[] = []
  let answered = 0
  const track = async () => {
    while (!isDone) {
      const body = await bodyFor(larder, 'a.test').catch((error: Error) => error.message)
      if (body === 'one') answered++
      else failed.push(body)
    }
  }
  const tracks = [track(), track(), track()]
  for (let count = 0; count < 8; count++) {
    const others = Array.from({ length: count + 1 }, (_, index) => tenant(`t${index}`, one))
    writeConfig(larder.folder, { tenants: [tenant('a', one), ...others] })
    t.equal((await reload(larder)).status, 200)
  }
  isDone = true
  await Promise.all(tracks)
  t.same(failed, [])
  t.ok(answered > 0)
})

import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { get, spawnLarder, temporaryFolder } from '../support/larder-process.ts'

const FREE = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0']

const GOOD = `listen: { http: [':8080'] }
tenants: [{ id: a, hosts: [a.test, '*.a.test'], origins: [{ url: 'http://127.0.0.1:1' }] }]
`

async function run(t: import('tap').Test, words: string[], files: Record<string, string> = {}) {
  const folder = temporaryFolder(t)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const larder = spawnLarder(t, words, folder)
  const status = await larder.ended()
  return { status, stdout: larder.stdout, stderr: larder.stderr }
}

t.test('every command says how it is used', async (t) => {
  for (const command of ['start', 'check-config', 'stats', 'warm', 'doctor']) {
    t.match(await run(t, [command, '--help']), { status: 0, stdout: /Usage: .*\n[\s\S]*Example/ })
  }
  t.match(await run(t, ['--help']), { status: 0, stdout: /check-config/ })
})

t.test('a wrong call names what was meant and ends with status 2', async (t) => {
  t.match(await run(t, ['strat']), { status: 2, stderr: /Did you mean 'start'\?/ })
  t.match(await run(t, ['start', '--orign', 'x']), {
    status: 2,
    stderr: /Did you mean '--origin'\?/,
  })
  t.match(await run(t, ['start', '--workers', '0']), { status: 2, stderr: /from 1 to 1024/ })
  t.match(await run(t, ['check-config']), { status: 2, stderr: /Which file/ })
  t.match(await run(t, ['start', '--origin', 'http://a', '--config', 'b']), { status: 2 })
})

t.test('check-config prints all problems, as lines or as JSON', async (t) => {
  const files = { 'good.yaml': GOOD, 'bad.yaml': `${GOOD}workers: 0\nwach: true\n` }
  t.match(await run(t, ['check-config', 'good.yaml'], files), {
    status: 0,
    stdout: 'ok: 1 tenant, 2 hosts, 1 listener\n',
  })
  const bad = await run(t, ['check-config', 'bad.yaml'], files)
  t.equal(bad.status, 1)
  t.match(
    bad.stderr,
    /bad.yaml:3:\d+ .*workers[\s\S]*bad.yaml:4:1 .*Did you mean 'watch'[\s\S]*2 problems/,
  )
  const json = await run(t, ['check-config', 'bad.yaml', '--json'], files)
  t.match(JSON.parse(json.stdout), {
    ok: false,
    problems: [{ line: 3, path: 'workers' }, { line: 4 }],
  })
})

t.test('start refuses a bad configuration with status 1', async (t) => {
  const files = { 'bad.yaml': `${GOOD}workers: 0\n` }
  t.match(await run(t, ['start', '--config', 'bad.yaml'], files), {
    status: 1,
    stderr: /bad.yaml:3:\d+ {2}workers/,
  })
})

t.test('a port that is taken is told with its cure, and nothing is left behind', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  // A server that listens on TCP has an address with a port.
  const taken = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const result = await run(t, ['start', ...FREE, '--http', taken])
  t.match(result, { status: 1, stderr: new RegExp(`${taken} \\(EADDRINUSE\\).*ss -ltnp`) })
  const admin = await run(t, ['start', ...FREE.slice(0, 4), '--admin', taken])
  t.match(admin, { status: 1, stderr: /for the admin API \(EADDRINUSE\)/ })
})

t.test('a second proxy on the same port is refused instead of sharing it', async (t) => {
  const first = await spawnLarder(t, ['start', ...FREE, '--workers', '1']).started()
  const taken = `127.0.0.1:${first.httpPort}`
  const second = await run(t, ['start', ...FREE, '--http', taken])
  t.match(second, { status: 1, stderr: /EADDRINUSE/ })
})

t.test('without configuration it serves a sample origin, over TLS too', async (t) => {
  const larder = await spawnLarder(t, ['start', ...FREE, '--workers', '1']).started()
  const { status, body } = await get(`${larder.urls('http')[0]}/hello.txt`)
  t.equal(status, 200)
  t.match(body, /Hello from the sample origin/)
  t.match(
    larder.stdout,
    /curl -i http:[\s\S]*curl -ik --http2 https:[\s\S]*curl http:\S+\/api\/v1\/stats/,
  )

  const state = join(larder.folder, '.larder')
  t.equal(statSync(state).mode & 0o777, 0o700)
  t.equal(statSync(join(state, 'authority.key')).mode & 0o777, 0o600)
  const ca = readFileSync(join(state, 'authority.crt'))
  const tlsStatus = await new Promise((resolve, reject) => {
    const sent = request(
      `${larder.urls('https')[0]}/hello.txt`,
      { ca, agent: false },
      (response) => {
        response.resume()
        resolve(response.statusCode)
      },
    )
    sent.on('error', reject).end()
  })
  t.equal(tlsStatus, 200, 'the certificate is good for whoever trusts the authority')
  larder.child.kill('SIGINT')
  t.equal(await larder.ended(), 0)
})

t.test('what is configured and not there yet is said, once', async (t) => {
  const folder = temporaryFolder(t)
  const config = GOOD.replace('listen: {', 'listen: { http3: [127.0.0.1:0],')
  t.not(config, GOOD)
  writeFileSync(join(folder, 'larder.yaml'), `${config}logging: { access: { output: off } }\n`)
  const words = ['start', '--config', 'larder.yaml', ...FREE.slice(0, 2), '--admin', '127.0.0.1:0']
  const larder = await spawnLarder(t, [...words, '--workers', '1'], folder).started()
  t.equal(larder.stderr.match(/http3 is configured but/g)?.length, 1)
})

t.test('stats and doctor answer for a machine and a person', async (t) => {
  const larder = await spawnLarder(t, ['start', ...FREE, '--workers', '1']).started()
  const stats = await run(t, ['stats', '--admin', larder.adminUrl])
  t.match(stats, { status: 0, stdout: /workers +1 of 1 serving/ })
  const json = await run(t, ['stats', '--admin', larder.adminUrl, '--json'])
  t.equal(JSON.parse(json.stdout).workers, 1)
  const nobody = await run(t, ['stats', '--admin', 'http://127.0.0.1:1'])
  t.match(nobody, { status: 1, stderr: /Is the proxy running\?/ })
  t.match(await run(t, ['doctor']), { status: 0, stdout: /good +node +v/ })
})

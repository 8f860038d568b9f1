import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
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

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
const SECRET = randomBytes(32).toString('hex')

const TENANTS = [
  {
    id: 'one',
    hosts: ['one.test'],
    origins: [{ url: 'http://127.0.0.1:9' }],
    certificate: 'self-signed',
  },
]

interface Session {
  readonly session: Buffer
  readonly resumed: boolean
  /** Name of the key that sealed the ticket (RFC 5077 §4), TLS 1.2 only. */
  readonly keyName: string
}

async function open(
  port: number,
  version: (typeof VERSIONS)[number],
  session?: Buffer,
): Promise<Session> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: 'one.test',
    minVersion: version,
    maxVersion: version,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    session,
  })
  let ticket: Buffer | undefined
  socket.on('session', (session: Buffer) => {
    ticket = session
  })
  await once(socket, 'secureConnect')
  // An answer comes behind the tickets of TLS 1.3.
  socket.write('OPTIONS * HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n')
  socket.resume()
  await once(socket, 'end')
  const resumed = socket.isSessionReused()
  const keyName = socket.getTLSTicket()?.subarray(0, 16).toString('hex') ?? ''
  const last = version === 'TLSv1.2' ? socket.getSession() : ticket
  socket.destroy()
  if (last === undefined) throw new Error('There was no ticket.')
  return { session: last, resumed, keyName }
}

/** Connections enough that the kernel gives some to each of two workers. */
async function resumedOf(port: number, version: (typeof VERSIONS)[number], session: Buffer) {
  let resumed = 0
  for (let i = 0; i < 16; i++) if ((await open(port, version, session)).resumed) resumed++
  return resumed
}

const start = (t: Test, options: Readonly<Record<string, unknown>> = {}) =>
  startLarder(t, { tenants: TENANTS, ...options }, ['--https', '127.0.0.1:0'])

const keyFileOf = (larder: LarderProcess) => join(larder.folder, '.larder', 'session-ticket-keys')

t.test(
  'a client resumes on every worker, over a rotation, until its key is forgotten',
  { timeout: 120_000 },
  async (t) => {
    const larder = await start(t, { tls: { ticketRotation: '4s' } })
    const port = larder.httpsPort
    const before = new Map<string, Session>()
    for (const version of VERSIONS) {
      const first = await open(port, version)
      t.equal(first.resumed, false)
      before.set(version, first)
      t.equal(await resumedOf(port, version, first.session), 16, `${version}: on either worker`)
    }
    const keyName = before.get('TLSv1.2')?.keyName
    await waitFor(async () => (await open(port, 'TLSv1.2')).keyName !== keyName, 30_000)
    for (const version of VERSIONS) {
      const { session } = before.get(version) as Session
      t.equal(await resumedOf(port, version, session), 16, `${version}: after a rotation`)
    }
    for (const version of VERSIONS) {
      const { session } = before.get(version) as Session
      await waitFor(async () => !(await open(port, version, session)).resumed, 30_000)
    }
    t.pass('and a whole handshake in the end')
    t.notMatch(larder.stderr, /"level":(40|50|60)/)
  },
)

t.test('a restarted proxy knows the sessions of before, from a file of its own', async (t) => {
  const folder = temporaryFolder(t)
  writeConfig(folder, { tenants: TENANTS })
  const words = ['start', '--config', 'larder.json', '--workers', '2']
  const ports = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const first = await spawnLarder(t, [...words, ...ports], folder).started()
  const sessions = new Map<string, Buffer>()
  for (const version of VERSIONS) {
    sessions.set(version, (await open(first.httpsPort, version)).session)
  }
  const file = keyFileOf(first)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.same(readdirSync(join(folder, '.larder')).filter((name) => /ticket/.test(name)).length, 1)
  const { keys } = JSON.parse(readFileSync(file, 'utf8'))
  t.equal(keys.length, 2)
  first.child.kill('SIGTERM')
  await first.ended()
  const second = await spawnLarder(t, [...words, ...ports], folder).started()
  for (const version of VERSIONS) {
    t.equal((await open(second.httpsPort, version, sessions.get(version))).resumed, true, version)
  }
  for (const { stdout, stderr } of [first, second]) {
    for (const key of keys) t.notOk((stdout + stderr).includes(key), 'keys are not in the output')
  }
  second.child.kill('SIGTERM')
  await second.ended()
  rmSync(file)
  const third = await spawnLarder(t, [...words, ...ports], folder).started()
  for (const version of VERSIONS) {
    t.equal((await open(third.httpsPort, version, sessions.get(version))).resumed, false, version)
  }
})

t.test(
  'with Redis and a secret a client resumes on every machine of the PoP',
  { skip: withoutRedis, timeout: 120_000 },
  async (t) => {
    const redis = await startRedis(t)
    const secrets = temporaryFolder(t)
    writeFileSync(join(secrets, 'pop.key'), `${SECRET}\n`)
    writeFileSync(join(secrets, 'other.key'), randomBytes(32).toString('base64'))
    const machine = (keyFile: string) =>
      start(t, {
        redis: { url: redis.url },
        certificates: { keyFile: join(secrets, keyFile) },
        tls: { ticketRotation: '6s' },
        logging: { level: 'debug', access: { output: 'off' } },
      })
    /** How often the keys of a machine have been rotated, as it says itself. */
    const generation = ({ stderr }: LarderProcess) =>
      [...stderr.matchAll(/"generation":(\d+)/g)].at(-1)?.[1] ?? ''
    /** Of both keys. */
    const sealed = async () => {
      const names = (await redis.cli('keys', 'larder:tickets:*')).trim().split('\n')
      const texts = await Promise.all(names.map((name) => redis.cli('get', name)))
      return texts.join('\n')
    }
    const here = await machine('pop.key')
    const there = await machine('pop.key')
    const stranger = await machine('other.key')
    for (const version of VERSIONS) {
      const { session } = await open(here.httpsPort, version)
      t.equal(await resumedOf(there.httpsPort, version, session), 16, version)
      t.equal((await open(stranger.httpsPort, version, session)).resumed, false, 'another secret')
    }
    const { keyName } = await open(here.httpsPort, 'TLSv1.2')
    let rotated = await open(here.httpsPort, 'TLSv1.2')
    await waitFor(async () => {
      rotated = await open(here.httpsPort, 'TLSv1.2')
      return rotated.keyName !== keyName
    }, 30_000)
    t.equal(
      await resumedOf(there.httpsPort, 'TLSv1.2', rotated.session),
      16,
      'at once after a rotation',
    )
    const stored = await sealed()
    t.ok(stored.length > 100)
    t.notMatch(stored, /keys|generation/, 'sealed')
    for (const { folder } of [here, there]) {
      t.throws(() => statSync(join(folder, '.larder', 'session-ticket-keys')), 'and in no file')
    }

    // What comes next is known to both for nearly a whole rotation.
    await waitFor(() => generation(here) === generation(there))
    await redis.kill()
    const late = await open(here.httpsPort, 'TLSv1.2')
    await waitFor(async () => {
      const next = await open(here.httpsPort, 'TLSv1.2')
      return next.keyName !== late.keyName
    }, 30_000)
    const withoutBus = await open(here.httpsPort, 'TLSv1.2')
    t.equal(
      await resumedOf(there.httpsPort, 'TLSv1.2', withoutBus.session),
      16,
      'while Redis is away, over a rotation',
    )
    await redis.start()
    const current = async ({ httpsPort }: LarderProcess) =>
      (await open(httpsPort, 'TLSv1.2')).keyName
    const agreed = async () => {
      const { session } = await open(here.httpsPort, 'TLSv1.2')
      return (await resumedOf(there.httpsPort, 'TLSv1.2', session)) === 16
    }
    await waitFor(async () => (await sealed()).length > 200, 30_000)
    const name = await current(here)
    await waitFor(async () => (await current(here)) !== name, 30_000)
    await waitFor(agreed, 30_000)
    t.pass('and again when it is back')
    for (const { stdout, stderr } of [here, there, stranger]) {
      t.notOk((stdout + stderr).includes(SECRET))
    }
    const { body } = await get(`${here.adminUrl}/api/v1/config`)
    t.notOk(body.includes(SECRET))
  },
)

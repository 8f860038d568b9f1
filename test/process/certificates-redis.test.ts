import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CertificatePair } from '@larder/certs'
import t, { type Test } from 'tap'
import { issue, serialOf, serialSeen } from '../support/certificates.ts'
import {
  get,
  type LarderProcess,
  spawnLarder,
  temporaryFolder,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'

/** Certificates that the machines of a point of presence share. */

t.setTimeout(120_000)

const KEY = '9d'.repeat(32)

async function startMachine(
  t: Test,
  redisUrl: string,
  folder = temporaryFolder(t),
): Promise<LarderProcess> {
  writeFileSync(join(folder, 'seal.key'), KEY)
  writeConfig(folder, {
    redis: { url: redisUrl },
    certificates: { keyFile: 'seal.key' },
    tenants: [{ id: 'a', hosts: ['a.test', 'b.test'], origins: [{ url: 'http://127.0.0.1:1' }] }],
  })
  const ports = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const words = ['start', '--config', 'larder.json', ...ports, '--workers', '2']
  return spawnLarder(t, words, folder).started()
}

async function put(larder: LarderProcess, name: string, { certPem, keyPem }: CertificatePair) {
  const answer = await get(`${larder.adminUrl}/api/v1/certificates/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ certificate: certPem, privateKey: keyPem }),
  })
  return { status: answer.status, json: JSON.parse(answer.body) }
}

const seen = (larder: LarderProcess, name: string) => serialSeen(larder.httpsPort, name)

t.test('what is put on one machine is served by all', { skip: withoutRedis }, async (t) => {
  const redis = await startRedis(t)
  const machines = await Promise.all([startMachine(t, redis.url), startMachine(t, redis.url)])
  const [one, other] = machines
  const [first, second, third, fourth] = await Promise.all(
    Array.from({ length: 4 }, () => issue(['a.test'])),
  )
  const stored = await put(one, 'a.test', first)
  t.equal(stored.status, 201)
  t.match(stored.json, { shared: true, version: 1 })
  t.equal(await seen(one, 'a.test'), serialOf(first))
  await waitFor(async () => (await seen(other, 'a.test')) === serialOf(first), 5_000)
  t.equal((await put(other, 'a.test', second)).json.version, 2)
  await waitFor(async () => (await seen(one, 'a.test')) === serialOf(second), 5_000)

  await t.test('a lost message costs seconds, no more', async (t) => {
    // Whoever listens is cut off; the change comes by the poll or with the new connection.
    await redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub')
    t.equal((await put(one, 'a.test', third)).status, 200)
    await waitFor(async () => (await seen(other, 'a.test')) === serialOf(third), 5_000)
  })

  await t.test('keys in Redis are encrypted, and bound to id, version and names', async (t) => {
    const client = redis.connect(t)
    const [records] = await client.keys('*certificates}:records')
    const record = (await client.hget(records, 'name/a.test')) ?? ''
    t.match(record, /"version":3/)
    for (const name of await client.keys('*certificates*')) {
      const kind = await client.type(name)
      const text = kind === 'hash' ? JSON.stringify(await client.hgetall(name)) : ''
      t.notMatch(text, /PRIVATE|BEGIN/, name)
      t.notOk(text.includes(third.keyPem.split('\n')[1].slice(0, 24)), name)
    }
    // The record of one name for another: it does not open.
    await client.hset(records, 'name/b.test', record.replaceAll('a.test', 'b.test'))
    const [heads] = await client.keys('*certificates}:heads')
    await client.hset(heads, 'name/b.test', '4 b.test')
    const [changes] = await client.keys('*certificates}:changes')
    const [change] = await client.keys('*certificates}:change')
    await client.zadd(changes, await client.incr(change), 'name/b.test')
    await waitFor(async () => {
      await seen(other, 'b.test')
      return other.stderr.includes('"id":"name/b.test"')
    })
    t.equal(await seen(other, 'b.test'), null)
  })

  await t.test('an older version never replaces a newer one', async (t) => {
    const client = redis.connect(t)
    const [heads] = await client.keys('*certificates}:heads')
    await client.hset(heads, 'name/a.test', '1 a.test')
    const [changes] = await client.keys('*certificates}:changes')
    const [change] = await client.keys('*certificates}:change')
    const number = await client.incr(change)
    await client.zadd(changes, number, 'name/a.test')
    await client.publish('larder:certificates:changed', `${number}`)
    await put(one, 'b.test', await issue(['b.test']))
    await waitFor(async () => (await seen(other, 'b.test')) !== null, 5_000)
    for (const machine of machines) t.equal(await seen(machine, 'a.test'), serialOf(third))
  })

  await t.test('without Redis what is known stays, and a change is refused', async (t) => {
    await redis.kill()
    for (const machine of machines) t.equal(await seen(machine, 'a.test'), serialOf(third))
    const refused = await put(one, 'a.test', fourth)
    t.equal(refused.status, 503)
    t.match(refused.json.detail, /Redis/)
    t.equal(await seen(one, 'a.test'), serialOf(third))
    await redis.start()
    await waitFor(async () => (await put(one, 'a.test', fourth)).status === 200, 10_000)
    await waitFor(async () => (await seen(other, 'a.test')) === serialOf(fourth), 5_000)
  })
  await t.test('a machine that starts without Redis serves what it has used', async (t) => {
    await redis.kill()
    one.child.kill('SIGTERM')
    await one.ended()
    const restarted = await startMachine(t, redis.url, one.folder)
    t.equal(await seen(restarted, 'a.test'), serialOf(fourth))
    await redis.start()
    // What is taken away everywhere is gone here, too, whatever was kept.
    const url = `${restarted.adminUrl}/api/v1/certificates/a.test`
    await waitFor(async () => (await get(url, { method: 'DELETE' })).status === 204, 10_000)
    t.equal(await seen(restarted, 'a.test'), null)
    await waitFor(async () => (await seen(other, 'a.test')) === null, 5_000)
  })
  for (const { stdout, stderr } of machines) {
    t.notMatch(stdout + stderr, /PRIVATE KEY/)
    t.notOk((stdout + stderr).includes(KEY))
  }
  const { body } = await get(`${other.adminUrl}/api/v1/config`)
  t.notOk(body.includes(KEY))
})

import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { type AcmeMachine, acmeMachine, startChallengeServers } from '../support/acme-machine.ts'
import { startAcmeRelay } from '../support/acme-relay.ts'
import { startPebble, withoutPebble } from '../support/pebble.ts'

const options = { skip: withoutPebble }
const DAY_MS = 86_400_000
const validitySeconds = (90 * DAY_MS) / 1000

async function serialOf({ vault }: AcmeMachine): Promise<string> {
  const set = await vault.current('site')
  return new X509Certificate(set?.pairs[0].certPem ?? '').serialNumber
}

function kinds(machine: AcmeMachine): string[] {
  return machine.events.splice(0).map(({ kind }) => kind)
}

t.test('a certificate is renewed at two thirds of its lifetime, not before', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, { ...servers, validitySeconds })
  const machine = acmeMachine(t, pebble, servers)
  await machine.renewer.tick()
  t.same(kinds(machine), ['ordering', 'issued'])
  const first = await serialOf(machine)
  machine.clock.ms += 55 * DAY_MS
  await machine.renewer.tick()
  t.same(kinds(machine), [], 'after 55 of 90 days there is time')
  machine.clock.ms += 5 * DAY_MS
  await machine.renewer.tick()
  t.same(kinds(machine), ['ordering', 'issued'])
  t.not(await serialOf(machine), first)
  t.equal((await machine.vault.current('site'))?.version, 2)
  // The authority has its own clock, by which two thirds are over again here.
  await machine.renewer.tick()
  t.same(kinds(machine), [], 'never one order after the other')
})

t.test('a new name is ordered at once', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, { ...servers, validitySeconds })
  const machine = acmeMachine(t, pebble, servers)
  await machine.renewer.tick()
  machine.renewer.setTargets([{ id: 'site', names: ['www.a.test', 'new.a.test'] }])
  await machine.renewer.tick()
  t.match(machine.events.slice(-2), [{ kind: 'ordering', reason: 'names' }, { kind: 'issued' }])
  machine.renewer.setTargets([{ id: 'site', names: ['new.a.test'] }])
  machine.events.splice(0)
  await machine.renewer.tick()
  t.same(kinds(machine), [], 'fewer names are no reason')
})

t.test(
  'an authority that is down is asked again, sooner when little time is left',
  options,
  async (t) => {
    const servers = await startChallengeServers(t)
    const pebble = await startPebble(t, { ...servers, validitySeconds })
    const machine = acmeMachine(t, pebble, servers)
    await machine.renewer.tick()
    const first = await serialOf(machine)
    await pebble.kill()
    machine.clock.ms += 61 * DAY_MS
    machine.events.splice(0)
    const retries: number[] = []
    for (let i = 0; i < 5; i++) {
      await machine.renewer.tick()
      const event = machine.events.at(-1)
      if (event?.kind !== 'failed') throw new Error(JSON.stringify(event))
      t.match(event.error.message, /cannot be reached at https:.*ECONNREFUSED/)
      t.equal(event.failures, i + 1)
      retries.push(Math.round((event.retryAt - machine.clock.ms) / 60_000))
      machine.clock.ms = event.retryAt
    }
    t.same(retries, [1, 4, 15, 15, 15], 'minutes')
    t.equal(await serialOf(machine), first, 'what was there stays')
    // Another authority as far as it can tell: it has forgotten the account.
    await pebble.start()
    await machine.renewer.tick()
    t.match(machine.events.at(-1), {
      kind: 'failed',
      error: { problem: { type: 'accountDoesNotExist' } },
    })
    machine.clock.ms = machine.renewer.status()[0].nextAt
    await machine.renewer.tick()
    t.match(machine.events.at(-1), { kind: 'issued' })
    t.not(await serialOf(machine), first)
    t.equal(machine.renewer.status()[0].failures, 0)
  },
)

t.test(
  'a validation that fails is told with its reason; the other kind has its turn',
  options,
  async (t) => {
    const servers = await startChallengeServers(t)
    const pebble = await startPebble(t, { ...servers, httpPort: 9 })
    const machine = acmeMachine(t, pebble, { ...servers, challenges: ['http-01', 'tls-alpn-01'] })
    await machine.renewer.tick()
    t.match(machine.events.at(-1), {
      kind: 'failed',
      error: { fault: 'validation', message: /'(www\.)?a\.test' by http-01: connection.*refused/ },
      failures: 1,
    })
    t.notOk(servers.registry.hasTokens, 'the challenges are withdrawn')
    const waited = machine.renewer.status()[0].nextAt - machine.clock.ms
    t.ok(waited >= 45_000, `${waited} ms`)
    await machine.renewer.tick()
    t.equal(machine.events.length, 2, 'nothing before its time')
    machine.clock.ms += waited
    await machine.renewer.tick()
    t.match(machine.events.at(-1), { kind: 'issued' })
    t.ok(servers.looked['tls-alpn-01'] >= 2)
  },
)

t.test('an answer that is not the key authorization fails the validation', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, servers)
  const board = {
    publish: async (challenges: readonly { token: string }[]) =>
      servers.registry.replaceAll({
        http: challenges.map(({ token }) => ({ token, keyAuthorization: `${token}.wrong` })),
        tls: [],
      }),
    withdraw: async () => {},
  }
  const machine = acmeMachine(t, pebble, { board })
  await machine.renewer.tick()
  t.match(machine.events.at(-1), { kind: 'failed', error: { fault: 'validation' } })
})

t.test(
  'a rate limit is respected for as long as the authority says (RFC 8555 §6.6)',
  options,
  async (t) => {
    const servers = await startChallengeServers(t)
    const pebble = await startPebble(t, { ...servers, validitySeconds })
    const relay = await startAcmeRelay(t, pebble, (directory, url) => ({
      ...directory,
      newOrder: `${url}/order-plz`,
    }))
    const machine = acmeMachine(t, pebble, { ...servers, directoryUrl: relay.directoryUrl })
    let asked = 0
    relay.answer = (_method, path) => {
      if (path !== '/order-plz') return null
      asked++
      return {
        status: 429,
        headers: { 'retry-after': '7200', 'replay-nonce': 'of-no-use' },
        body: { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many certificates' },
      }
    }
    await machine.renewer.tick()
    t.match(machine.events.at(-1), {
      kind: 'failed',
      error: { message: /rateLimited: too many certificates/, retryAfterMs: 7_200_000 },
    })
    const waited = machine.renewer.status()[0].nextAt - machine.clock.ms
    t.ok(waited >= 7_200_000 && waited < 8_000_000, `${waited} ms`)
    machine.clock.ms += 7_100_000
    await machine.renewer.tick()
    t.equal(asked, 1, 'not before its time')
    relay.answer = () => null
    machine.clock.ms += waited
    await machine.renewer.tick()
    t.match(machine.events.at(-1), { kind: 'issued' })
  },
)

t.test('the window that the authority suggests is followed (RFC 9773)', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, { ...servers, validitySeconds })
  const relay = await startAcmeRelay(t, pebble, (directory, url) => ({
    ...directory,
    newOrder: `${url}/order-plz`,
    renewalInfo: `${url}/renewal-info`,
  }))
  const machine = acmeMachine(t, pebble, { ...servers, directoryUrl: relay.directoryUrl })
  const asked: string[] = []
  let window = { start: 40, end: 42 }
  const issuedAt = machine.clock.ms
  const day = (days: number) => new Date(issuedAt + days * DAY_MS).toISOString()
  relay.answer = (_method, path) => {
    if (!path.startsWith('/renewal-info/')) return null
    asked.push(path)
    const suggestedWindow = { start: day(window.start), end: day(window.end) }
    return { status: 200, headers: { 'retry-after': '3600' }, body: { suggestedWindow } }
  }
  await machine.renewer.tick()
  t.same(kinds(machine), ['ordering', 'issued'])
  t.match(asked[0], /^\/renewal-info\/[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/)
  const serial = Buffer.from(asked[0].split('.')[1], 'base64url').toString('hex').replace(/^00/, '')
  t.equal(serial.toUpperCase(), (await serialOf(machine)).padStart(serial.length, '0'))
  machine.clock.ms += 3_600_000
  await machine.renewer.tick()
  t.equal(asked.length, 2, 'asked again when the authority said')
  machine.clock.ms = issuedAt + 39.9 * DAY_MS
  await machine.renewer.tick()
  t.same(kinds(machine), [])
  machine.clock.ms = issuedAt + 42 * DAY_MS
  await machine.renewer.tick()
  t.match(machine.events[0], { kind: 'ordering', reason: 'authority' })
  const order = JSON.parse(
    relay.sent.filter(({ path }) => path === '/order-plz').at(-1)?.body ?? '',
  )
  const payload = JSON.parse(Buffer.from(order.payload, 'base64url').toString())
  t.equal(payload.replaces, asked[0].slice('/renewal-info/'.length))
  t.match(machine.events.at(-1), { kind: 'issued' })
  // Revoked, for example: a window in the past means now.
  machine.events.splice(0)
  window = { start: 1, end: 2 }
  machine.clock.ms += DAY_MS / 2
  await machine.renewer.tick()
  t.match(machine.events[0], { kind: 'ordering', reason: 'authority' })
})

t.test('a renewal information that cannot be had is no obstacle', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, { ...servers, validitySeconds })
  const relay = await startAcmeRelay(t, pebble, (directory, url) => ({
    ...directory,
    renewalInfo: `${url}/renewal-info`,
  }))
  relay.answer = (_method, path) =>
    path.startsWith('/renewal-info/') ? { status: 404, body: { detail: 'unknown' } } : null
  const machine = acmeMachine(t, pebble, { ...servers, directoryUrl: relay.directoryUrl })
  await machine.renewer.tick()
  t.same(kinds(machine), ['ordering', 'no-renewal-info', 'issued'])
  machine.clock.ms += 60 * DAY_MS
  await machine.renewer.tick()
  t.same(kinds(machine), ['no-renewal-info', 'ordering', 'no-renewal-info', 'issued'])
})

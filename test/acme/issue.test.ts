import { X509Certificate } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { checkPair } from '@larder/certs'
import t, { type Test } from 'tap'
import { acmeMachine, startChallengeServers } from '../support/acme-machine.ts'
import { startPebble, withoutPebble } from '../support/pebble.ts'

const options = { skip: withoutPebble }

for (const kind of ['http-01', 'tls-alpn-01'] as const) {
  t.test(`a certificate for two names is issued by ${kind}`, options, async (t) => {
    const servers = await startChallengeServers(t)
    const pebble = await startPebble(t, servers)
    const machine = acmeMachine(t, pebble, { ...servers, challenges: [kind] })
    await machine.renewer.tick()
    t.match(
      machine.events.map((event) => event.kind),
      ['ordering', 'issued'],
      JSON.stringify(machine.events),
    )
    const set = await machine.vault.current('site')
    t.match(set, { id: 'site', version: 1, names: ['www.a.test', 'a.test'] })
    const pair = set?.pairs[0] ?? { certPem: '', keyPem: '' }
    const check = checkPair(pair, 'cert', 'key')
    t.ok(check.ok)
    t.same(check.ok && check.facts.names.toSorted(), ['a.test', 'www.a.test'])
    const issuer = new X509Certificate(pair.certPem.split(/(?<=-----END CERTIFICATE-----)\n/)[1])
    t.ok(new X509Certificate(pair.certPem).checkIssued(issuer), 'the chain comes with it')
    t.ok(new X509Certificate(await pebble.rootPem()).publicKey, 'the root is not part of it')
    t.ok(servers.looked[kind] >= 2, 'the authority has looked at both names')
    t.notOk(servers.registry.hasTokens || servers.registry.hasChallenges(), 'all is withdrawn')
    const files = readdirSync(machine.accountFolder)
    t.equal(files.length, 1)
    t.equal(statSync(join(machine.accountFolder, files[0])).mode & 0o777, 0o600)
    t.equal(statSync(machine.accountFolder).mode & 0o777, 0o700)
  })
}

t.test('keys of all kinds are certified', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, servers)
  const types = { p256: 'ec', p384: 'ec', rsa2048: 'rsa' } as const
  for (const keyType of ['p256', 'p384', 'rsa2048'] as const) {
    const machine = acmeMachine(t, pebble, { ...servers, keyType })
    await machine.renewer.tick()
    const set = await machine.vault.current('site')
    const { publicKey } = new X509Certificate(set?.pairs[0].certPem ?? '')
    t.equal(publicKey.asymmetricKeyType, types[keyType], keyType)
  }
})

t.test('nonces that the authority refuses are replaced (RFC 8555 §6.5)', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, { ...servers, refusedNonces: 40 })
  const machine = acmeMachine(t, pebble, servers)
  await machine.renewer.tick()
  // Twelve signed requests at least, of which each is refused with 40 %.
  t.match(machine.events.at(-1), { kind: 'issued' }, JSON.stringify(machine.events))
})

t.test(
  'an authority that refuses every nonce does not keep us busy for ever',
  options,
  async (t) => {
    const servers = await startChallengeServers(t)
    const pebble = await startPebble(t, { ...servers, refusedNonces: 100 })
    const machine = acmeMachine(t, pebble, servers)
    await machine.renewer.tick()
    t.match(machine.events.at(-1), { kind: 'failed', error: { problem: { type: 'badNonce' } } })
    t.equal(pebble.asked('new-account'), 13)
  },
)

t.test('names that the authority knows already are not asked about again', options, async (t) => {
  const servers = await startChallengeServers(t)
  const pebble = await startPebble(t, { ...servers, reusedAuthorizations: 100 })
  const machine = acmeMachine(t, pebble, servers)
  await machine.renewer.tick()
  const { looked } = servers
  const first = looked['http-01']
  machine.renewer.setTargets([{ id: 'again', names: ['a.test', 'www.a.test'] }])
  await machine.renewer.tick()
  t.match(machine.events.at(-1), { kind: 'issued', id: 'again' })
  t.equal(looked['http-01'], first)
  t.equal(pebble.asked('new-account'), 1, 'the account is found once')
})

const EXTERNAL = { kid: 'kid-1', hmacKey: Buffer.alloc(32, 7).toString('base64url') }

t.test('an external account is bound to ours (RFC 8555 §7.3.4)', options, async (t) => {
  const servers = await startChallengeServers(t)
  const externalAccounts = { [EXTERNAL.kid]: EXTERNAL.hmacKey }
  const pebble = await startPebble(t, { ...servers, externalAccounts })
  const bound = acmeMachine(t, pebble, { ...servers, externalAccount: EXTERNAL })
  await bound.renewer.tick()
  t.match(bound.events.at(-1), { kind: 'issued' }, JSON.stringify(bound.events))
  await fails(t, acmeMachine(t, pebble, servers), /wants an external account.*acme\.eab/)
  const wrong = { ...EXTERNAL, hmacKey: Buffer.alloc(32, 8).toString('base64url') }
  await fails(t, acmeMachine(t, pebble, { ...servers, externalAccount: wrong }), /refuses/)
})

t.test('terms that nobody agreed to are not agreed to', options, async (t) => {
  const pebble = await startPebble(t)
  await fails(t, acmeMachine(t, pebble, { termsAgreed: false }), /acme\.termsAgreed/)
  t.equal(pebble.asked('new-account'), 0)
})

t.test(
  'a name that the authority does not issue for is told with its reason',
  options,
  async (t) => {
    const servers = await startChallengeServers(t)
    const pebble = await startPebble(t, { ...servers, blockedNames: ['a.test'] })
    await fails(t, acmeMachine(t, pebble, servers), /rejectedIdentifier.*a\.test/)
  },
)

async function fails(t: Test, machine: ReturnType<typeof acmeMachine>, message: RegExp) {
  await machine.renewer.tick()
  t.match(machine.events.at(-1), { kind: 'failed', error: { message } })
  t.equal(await machine.vault.current('site'), null)
}

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { issue, writePair } from '../../../../../test/support/certificates.ts'
import { waitFor } from '../../../../../test/support/larder-process.ts'
import type { Config } from '../../config/config.ts'
import { loadConfigText } from '../../config/load.ts'
import { createLogger } from '../../observability/logger.ts'
import type { ToWorker } from '../messages.ts'
import { CertificateService } from './certificate-service.ts'
import { HostOwners } from './host-owners.ts'

function configIn(folder: string, options: Readonly<Record<string, unknown>>): Config {
  const written = { listen: { http: ['127.0.0.1:0'] }, ...options }
  const loaded = loadConfigText(JSON.stringify(written), join(folder, 'larder.json'))
  if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('\n'))
  return loaded.config
}

function serviceFor(t: Test, folder: string, config: Config): CertificateService {
  const logger = createLogger({ level: 'fatal' })
  const service = new CertificateService({ config, stateFolder: join(folder, 'state'), logger })
  t.teardown(() => service.stop())
  return service
}

const tenant = (id: string, hosts: readonly string[], more = {}) => ({
  ...{ id, hosts, origins: [{ url: 'http://127.0.0.1:1' }] },
  ...more,
})

t.test(
  'what goes to the workers and to the admin API has no certificates and no keys',
  async (t) => {
    const folder = t.testdir({ 'seal.key': 'ab'.repeat(32) })
    writePair(join(folder, 'a'), await issue(['a.test']))
    writePair(join(folder, 'r'), await issue(['a.test'], { key: 'rsa2048' }))
    const also = [{ certFile: 'r.crt', keyFile: 'r.key' }]
    const config = configIn(folder, {
      certificates: { keyFile: 'seal.key' },
      tenants: [
        tenant('a', ['a.test'], { certificate: { certFile: 'a.crt', keyFile: 'a.key', also } }),
        tenant('b', ['b.test'], { certificate: 'self-signed' }),
      ],
    })
    t.match(JSON.stringify(config), /PRIVATE KEY/, 'as it was read')
    const service = serviceFor(t, folder, config)
    const staged = await service.stage(config)
    t.notMatch(JSON.stringify(staged.config), /BEGIN|abababab/)
    service.apply(staged)
    t.equal((await service.ask('a.test'))?.pairs.length, 2)
    t.equal((await service.ask('b.test'))?.pairs.length, 1)
    t.equal(await service.ask('c.test'), null)
  },
)

t.test('workers are told which names have changed, and waited for', async (t) => {
  const folder = t.testdir({ certs: {} })
  const [first, second] = [await issue(['a.test']), await issue(['a.test'])]
  writePair(join(folder, 'certs', 'a.test'), first)
  const config = configIn(folder, {
    certificates: { folder: 'certs' },
    tenants: [tenant('a', ['a.test'])],
  })
  const service = serviceFor(t, folder, config)
  await service.start()
  const told: ToWorker[] = []
  const names = service.join({ name: 'w', send: (message) => told.push(message) })
  t.equal(names.hasFallback, false)
  t.match((await service.ask('a.test'))?.pairs, [{ certPem: first.certPem }])
  let isCommitted = false
  const committing = service.vault.commit('name/a.test', ['a.test'], [second]).then((version) => {
    isCommitted = true
    return version
  })
  while (told.length === 0) await new Promise(setImmediate)
  t.match(told, [{ type: 'certificates-changed', names: ['a.test'] }])
  t.equal(isCommitted, false, 'not before the worker has said so')
  const [message] = told
  if (message.type === 'certificates-changed') service.seen('w', message.number)
  t.equal(await committing, 1)
  t.match((await service.ask('a.test'))?.pairs, [{ certPem: second.certPem }])
  t.match(await service.vault.current('name/a.test'), { version: 1, names: ['a.test'] })
  service.leave('w')
  await t.rejects(service.vault.commit('x', ['other.test'], [second]), /not for 'other\.test'/)
  await service.stored.remove('name/a.test')
  t.match((await service.ask('a.test'))?.pairs, [{ certPem: first.certPem }], 'the next source')
})

t.test('with unknownServerName default the first tenant answers unknown names', async (t) => {
  const folder = t.testdir({})
  writePair(join(folder, 'a'), await issue(['a.test']))
  const certificate = { certFile: 'a.crt', keyFile: 'a.key' }
  const config = configIn(folder, {
    tls: { unknownServerName: 'default' },
    tenants: [tenant('n', ['n.test']), tenant('a', ['a.test'], { certificate })],
  })
  const service = serviceFor(t, folder, config)
  service.apply(await service.stage(config))
  t.equal(service.join({ name: 'w', send: () => {} }).hasFallback, true)
  t.equal((await service.ask('*'))?.id, 'tenant/a')
})

t.test('coming back to the configuration before keeps files that were renewed since', async (t) => {
  const folder = t.testdir({})
  const [first, second] = [await issue(['a.test']), await issue(['a.test'])]
  writePair(join(folder, 'a'), first)
  const certificate = { certFile: 'a.crt', keyFile: 'a.key' }
  const config = configIn(folder, { tenants: [tenant('a', ['a.test'], { certificate })] })
  const service = serviceFor(t, folder, config)
  const staged = await service.stage(config)
  service.apply(staged)
  writePair(join(folder, 'a'), second)
  const isRenewed = async () => (await service.ask('a.test'))?.pairs[0].certPem === second.certPem
  await waitFor(isRenewed)
  const before = service.staged(staged.config)
  const other = configIn(folder, { tenants: [tenant('b', ['b.test'])] })
  service.apply(await service.stage(other))
  t.equal(await service.ask('a.test'), null)
  service.apply(before)
  t.ok(await isRenewed())
})

t.test('a thousand names are known at once, read only when they are asked for', async (t) => {
  const folder = t.testdir({})
  const certs = join(folder, 'certs')
  mkdirSync(certs)
  const pair = await issue(['n7.test'])
  for (let i = 0; i < 1_200; i++) writePair(join(certs, `n${i}.test`), pair)
  const config = configIn(folder, {
    certificates: { folder: 'certs', maxContexts: 16 },
    tenants: [tenant('a', ['*'])],
  })
  const service = serviceFor(t, folder, config)
  await service.start()
  t.equal(service.counts.loads.size, 0, 'nothing was read whole')
  t.equal((await service.ask('n7.test'))?.names[0], 'n7.test')
  t.equal(service.counts.loads.get('folder'), 1)
  t.equal(await service.ask('n8.test'), null, 'the certificate says that it is for another name')
  t.equal(service.index.sets.size, 1_200)
})

t.test('whose names are whose', (t) => {
  const folder = t.testdir({})
  const { tenants } = configIn(folder, {
    tenants: [tenant('a', ['a.test', '*.a.test']), tenant('b', ['b.a.test', 'b.test', 'c.b.test'])],
  })
  const owners = new HostOwners(tenants)
  const cases: [name: string, owner: string | undefined][] = [
    ['a.test', 'a'],
    ['x.a.test', 'a'],
    ['b.a.test', 'b'],
    ['x.y.a.test', undefined],
    ['*.a.test', 'a'],
    ['*.b.test', undefined],
    ['*.test', undefined],
  ]
  for (const [name, owner] of cases) t.equal(owners.ownerOf(name), owner, name)
  t.same(owners.namesOf('b', ['*.b.test', 'a.test', '*.a.test']), ['c.b.test', 'b.a.test'])
  t.end()
})

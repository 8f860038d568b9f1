import { execFileSync } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { issue, serialOf, writePair } from '../support/certificates.ts'
import { spawnLarder, temporaryFolder } from '../support/larder-process.ts'

t.setTimeout(120_000)

async function run(t: Test, folder: string, ...words: string[]) {
  const larder = spawnLarder(t, ['cert', ...words], folder)
  const status = await larder.ended()
  return { status, stdout: larder.stdout, stderr: larder.stderr }
}

t.test('cert dev issues a certificate and says how to trust it', async (t) => {
  const folder = temporaryFolder(t)
  const made = await run(t, folder, 'dev', 'www.acme.test', '*.img.acme.test', '--json')
  t.equal(made.status, 0)
  const { certFile, keyFile, authorityFile } = JSON.parse(made.stdout)
  t.equal(statSync(keyFile).mode & 0o777, 0o600)
  const verified = execFileSync('openssl', ['verify', '-CAfile', authorityFile, certFile])
  t.match(String(verified), /OK/)
  const again = await run(t, folder, 'dev', 'www.acme.test')
  t.match(again.stdout, /curl --cacert .*authority\.crt/)
  t.match(again.stdout, /update-ca-certificates/)
  const shown = await run(t, folder, 'show', certFile)
  t.equal(shown.status, 0)
  t.match(shown.stdout, /^names +.*www\.acme\.test/m)
  t.match(shown.stdout, /^days left +36\d$/m)
  t.match(shown.stdout, /^chain +CN=Larder development authority/m)
  t.match(shown.stdout, /^key matches +yes$/m)
})

t.test('cert csr makes a key for its owner alone, and never in the place of another', async (t) => {
  const folder = temporaryFolder(t)
  for (const [kind, shown] of [
    ['p256', /prime256v1/],
    ['p384', /secp384r1/],
    ['rsa2048', /2048 bit/],
  ] as const) {
    const made = await run(t, folder, 'csr', 'a.test', '*.a.test', '--key', kind, '--out', kind)
    t.equal(made.status, 0, made.stderr)
    const key = join(folder, `${kind}.key`)
    t.equal(statSync(key).mode & 0o777, 0o600)
    const request = ['req', '-in', join(folder, `${kind}.csr`), '-noout', '-text', '-verify']
    const text = execFileSync('openssl', request, { encoding: 'utf8', stdio: 'pipe' })
    t.match(text, shown)
    t.match(text, /DNS:a\.test, DNS:\*\.a\.test/)
    t.notMatch(made.stdout + made.stderr, /PRIVATE/)
  }
  const before = readFileSync(join(folder, 'p256.key'), 'utf8')
  const refused = await run(t, folder, 'csr', 'a.test', '--out', 'p256')
  t.equal(refused.status, 1)
  t.match(refused.stderr, /is there already.*--force/)
  t.equal(readFileSync(join(folder, 'p256.key'), 'utf8'), before)
  t.equal((await run(t, folder, 'csr', 'a.test', '--key', 'dsa')).status, 2)
  t.equal((await run(t, folder, 'csr', 'not a name')).status, 2)
})

t.test('cert show tells what is wrong with a certificate', async (t) => {
  const folder = temporaryFolder(t)
  const [good, other] = await Promise.all([issue(['a.test']), issue(['a.test'])])
  const late = await issue(['a.test'], { notAfterAt: Date.now() - 3_600_000 })
  writePair(join(folder, 'mixed'), { ...good, keyPem: other.keyPem })
  writePair(join(folder, 'late'), late)
  writeFileSync(join(folder, 'text.crt'), 'no certificate')
  const mixed = await run(t, folder, 'show', 'mixed.crt')
  t.equal(mixed.status, 1)
  t.match(mixed.stdout, /problem +The key in 'mixed\.key' does not belong to it/)
  const expired = await run(t, folder, 'show', 'late.crt', '--json')
  t.equal(expired.status, 1)
  t.match(JSON.parse(expired.stdout), { daysLeft: -1, keyMatches: true, problems: [/expired/] })
  t.match((await run(t, folder, 'show', 'text.crt')).stderr, /no certificate in PEM/)
  t.match((await run(t, folder, 'show', 'absent.crt')).stderr, /ENOENT/)
})

t.test('cert show looks at a server as a client would', async (t) => {
  const pair = await issue(['a.test'])
  const server = createServer({ cert: pair.certPem, key: pair.keyPem })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const shown = await run(
    t,
    temporaryFolder(t),
    ...['show', `127.0.0.1:${port}`, '--name', 'a.test', '--json'],
  )
  t.match(JSON.parse(shown.stdout), { names: ['a.test'], serial: serialOf(pair), keyMatches: null })
  t.match(JSON.parse(shown.stdout).problems, [/does not trust it/])
  const wrong = await run(t, temporaryFolder(t), 'show', `127.0.0.1:${port}`, '--name', 'b.test')
  t.match(wrong.stdout, /It is not for 'b\.test'/)
})

t.test('an unknown order shows which there are', async (t) => {
  const { status, stderr } = await run(t, temporaryFolder(t), 'shwo')
  t.equal(status, 2)
  t.match(stderr, /dev, csr, show/)
})

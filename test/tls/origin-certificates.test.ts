import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket, TlsOptions } from 'node:tls'
import { DevelopmentAuthority } from '@larder/certs'
import t, { type Test } from 'tap'
import { clientAuthority } from '../support/client-authority.ts'
import { startProxy } from '../support/edge.ts'
import { get, startLarder, writeConfig } from '../support/larder-process.ts'
import { askPlainly } from '../support/tls-client.ts'

const ours = await clientAuthority('authority of the origin')
const theirs = await clientAuthority('authority of nobody')
const larder = await ours.issue([{ CN: ['larder'] }])
const stranger = await theirs.issue([{ CN: ['larder'] }])

/** An origin that serves those alone who show a certificate of its authority, and says who they are. */
async function startOrigin(t: Test, options: TlsOptions = {}) {
  const folder = t.testdir({
    'client.crt': larder.cert,
    'client.key': larder.key,
    'stranger.crt': stranger.cert,
    'stranger.key': stranger.key,
  })
  const authority = new DevelopmentAuthority(join(folder, 'authority'))
  const { certPem, keyPem } = await authority.certificateFor('origin', ['origin.test'])
  const server = createServer(
    {
      cert: certPem,
      key: keyPem,
      ca: ours.certPem,
      requestCert: true,
      rejectUnauthorized: true,
      ...options,
    },
    (request, response) => {
      // An https server has TLS sockets.
      const socket = request.socket as TLSSocket
      response.setHeader('cache-control', 'no-store')
      response.end(`${socket.getPeerCertificate().subject.CN} ${socket.getProtocol()}`)
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  // A server that listens on TCP has an address with a port.
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const originTls = { caFile: authority.certificateFile, serverName: 'origin.test' }
  const pair = (name: string) => ({
    certFile: join(folder, `${name}.crt`),
    keyFile: join(folder, `${name}.key`),
  })
  return { url, folder, originTls, pair }
}

async function answerOf(t: Test, url: string, originTls: Readonly<Record<string, unknown>>) {
  const { http } = await startProxy(t, url, { tenant: { originTls } })
  const { status, body } = await askPlainly(http, { host: 'a.test' })
  return status === 200 ? body : status
}

t.test('an origin that asks gets the certificate of the tenant, and no other', async (t) => {
  const { url, originTls, pair } = await startOrigin(t)
  t.equal(await answerOf(t, url, { ...originTls, ...pair('client') }), 'larder TLSv1.3')
  t.equal(await answerOf(t, url, originTls), 502, 'without one')
  t.equal(
    await answerOf(t, url, { ...originTls, ...pair('stranger') }),
    502,
    'of another authority',
  )
})

t.test('minVersion is the oldest that is spoken with an origin', async (t) => {
  const { url, originTls, pair } = await startOrigin(t, { maxVersion: 'TLSv1.2' })
  const known = { ...originTls, ...pair('client') }
  t.equal(await answerOf(t, url, known), 'larder TLSv1.2')
  t.equal(await answerOf(t, url, { ...known, minVersion: 'TLSv1.3' }), 502)
})

t.test('a key is in no log, no error, no answer and no file but its own', async (t) => {
  const { url, folder, originTls, pair } = await startOrigin(t)
  const tenant = (files: Readonly<Record<string, unknown>>) => ({
    id: 'one',
    hosts: ['one.test'],
    origins: [{ url }],
    certificate: 'self-signed',
    originTls: { ...originTls, ...files },
    clientCertificate: { mode: 'request', caFile: pair('client').certFile },
  })
  const config = (files: Readonly<Record<string, unknown>>) => ({
    logging: { level: 'trace', access: { output: 'access.log' } },
    tenants: [tenant(files)],
  })
  const proxy = await startLarder(t, config(pair('client')), ['--https', '127.0.0.1:0'])
  const { status } = await get(proxy.urls('http')[0], { headers: { host: 'one.test' } })
  t.equal(status, 200)
  const answers: string[] = []
  const ask = async (path: string, method = 'GET') => {
    const { body } = await get(`${proxy.adminUrl}${path}`, { method })
    answers.push(body)
    return body
  }
  const shown = JSON.parse(await ask('/api/v1/config'))
  t.match(shown.tenants[0].originTls.client, { keyFile: pair('client').keyFile })
  for (const path of ['/api/v1/workers', '/api/v1/stats', '/metrics']) await ask(path)
  // A key where a certificate belongs, a certificate where a key belongs, and one that belongs to another.
  const { certFile, keyFile } = pair('client')
  for (const files of [
    { certFile: keyFile, keyFile },
    { certFile, keyFile: certFile },
    { certFile, keyFile: pair('stranger').keyFile },
    { caFile: keyFile },
  ]) {
    writeConfig(proxy.folder, config(files))
    t.notOk(JSON.parse(await ask('/api/v1/reload', 'POST')).ok)
  }
  writeConfig(proxy.folder, config(pair('stranger')))
  await ask('/api/v1/reload', 'POST')
  await get(proxy.urls('http')[0], { headers: { host: 'one.test' } })
  proxy.child.kill('SIGTERM')
  await proxy.ended()
  const kept = join(proxy.folder, '.larder', 'session-ticket-keys')
  const ticketKeys: string[] = JSON.parse(readFileSync(kept, 'utf8')).keys
  const secrets = [
    ...['client.key', 'stranger.key'].map((name) => readFileSync(join(folder, name), 'utf8')),
    ...readdirSync(join(proxy.folder, '.larder'))
      .filter((name) => name.endsWith('.key'))
      .map((name) => readFileSync(join(proxy.folder, '.larder', name), 'utf8')),
  ]
  t.equal(secrets.length, 4)
  const lines = secrets.flatMap((pem) =>
    pem.split('\n').filter((line) => line.length > 20 && !line.startsWith('-')),
  )
  t.ok(lines.length > 8)
  const written = [
    proxy.stdout,
    proxy.stderr,
    ...answers,
    readFileSync(join(proxy.folder, 'access.log'), 'utf8'),
  ].join('\n')
  t.ok(written.length > 2000)
  for (const secret of [...lines, ...ticketKeys]) {
    if (written.includes(secret)) t.fail(`a key was told: ${secret.slice(0, 4)}…`)
    // As it stands in JSON.
    if (written.includes(secret.replaceAll('/', '\\/'))) t.fail('a key was told in JSON')
  }
  t.notMatch(written, /PRIVATE KEY/)
  for (const name of readdirSync(join(proxy.folder, '.larder'))) {
    if (!/key/.test(name)) continue
    t.equal(statSync(join(proxy.folder, '.larder', name)).mode & 0o077, 0, name)
  }
})

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { DevelopmentAuthority } from '@larder/certs'
import t from 'tap'
import { answerWithBody } from '../support/bodies.ts'
import {
  get,
  spawnLarder,
  startOrigin,
  temporaryFolder,
  waitFor,
  writeConfig,
} from '../support/larder-process.ts'
import { startTraffic } from '../support/traffic.ts'

/** Tenants, origins and certificates change under load. LARDER_TRAFFIC_SECONDS says how long. */

const SECONDS = Number(process.env.LARDER_TRAFFIC_SECONDS ?? 8)

t.setTimeout(60_000 + SECONDS * 1000)

/** Answers for one host alone: a request that went to the wrong tenant is not a 200. */
function originFor(t: import('tap').Test, host: string): Promise<string> {
  return startOrigin(t, (request, response) => {
    if (request.headers.host === host) answerWithBody(request, response)
    else response.writeHead(409).end()
  })
}

/** The fingerprint of the certificate that a new connection for `name` gets. */
async function certificateSeen(port: number, name: string): Promise<string> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: name,
    rejectUnauthorized: false,
  })
  await once(socket, 'secureConnect')
  const { fingerprint256, subjectaltname } = socket.getPeerCertificate()
  socket.destroy()
  return subjectaltname?.includes(`DNS:${name}`) ? fingerprint256 : `not for ${name}`
}

t.test('reloads every second under load lose nothing and mix nothing up (SIGHUP)', async (t) => {
  const folder = temporaryFolder(t)
  const authority = new DevelopmentAuthority(join(folder, 'authority'))
  for (const number of [0, 1]) {
    for (const id of ['a', 'b']) {
      const pair = await authority.certificateFor(`${id}${number}`, [`${id}.test`])
      writeFileSync(join(folder, `${id}${number}.crt`), pair.certPem)
      writeFileSync(join(folder, `${id}${number}.key`), pair.keyPem)
    }
  }
  const origins = {
    a: [await originFor(t, 'a.test'), await originFor(t, 'a.test')],
    b: [await originFor(t, 'b.test'), await originFor(t, 'b.test')],
  }
  const tenant = (id: 'a' | 'b', number: number) => ({
    id,
    hosts: [`${id}.test`],
    origins: [{ url: origins[id][number] }],
    certificate: { certFile: `${id}${number}.crt`, keyFile: `${id}${number}.key` },
  })
  const guest = (number: number) => ({
    id: `guest${number}`,
    hosts: [`guest${number}.test`],
    origins: [{ url: origins.a[0] }],
  })
  writeConfig(folder, { tenants: [tenant('a', 0), tenant('b', 0)] })
  const addresses = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const words = ['start', '--config', 'larder.json', ...addresses, '--workers', '2']
  const larder = await spawnLarder(t, words, folder).started()
  const { httpPort, httpsPort } = larder
  const clients = { http1: 3, 'http1-tls': 2, http2: 2 }
  const traffic = startTraffic({ httpPort, httpsPort, hosts: ['a.test', 'b.test'], clients })
  t.teardown(() => traffic.stop())
  await waitFor(() => traffic.good > 100)

  const statusOf = async (host: string) =>
    (await get(larder.urls('http')[0], { headers: { host } })).status
  const certificates = new Set<string>()
  const endsAt = performance.now() + SECONDS * 1000
  for (let round = 1; performance.now() < endsAt; round++) {
    const number = round % 2
    const seen = larder.stderr.length
    const isBad = round % 3 === 0
    const tenants: unknown[] = [tenant('a', number), tenant('b', number), guest(round)]
    // The same host twice: whatever else it says must not come into force either.
    if (isBad) tenants.push({ ...guest(round + 1000), hosts: ['a.test'] })
    writeConfig(folder, { tenants })
    const startedAt = performance.now()
    larder.child.kill('SIGHUP')
    const said = isBad ? 'configuration refused' : 'configuration applied'
    await waitFor(() => larder.stderr.slice(seen).includes(said))
    t.equal(await statusOf(`guest${round}.test`), isBad ? 421 : 409, said)
    for (const id of ['a', 'b']) {
      const fingerprint = await certificateSeen(httpsPort, `${id}.test`)
      t.notMatch(fingerprint, /^not/)
      certificates.add(`${id} ${fingerprint}`)
    }
    const tookMs = performance.now() - startedAt
    // Once a second: the rate is what is tested.
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1000 - tookMs)))
  }
  const { good, corrupt, refused, otherStatus, cut, lost } = await traffic.stop()
  t.comment(`${good} good`)
  t.same({ corrupt, refused, otherStatus, cut, lost }, NOTHING)
  t.equal(certificates.size, 4, 'both certificates of both tenants were in use')
})

const NOTHING = { corrupt: [], refused: [], otherStatus: [], cut: [], lost: [] }

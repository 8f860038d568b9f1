import t from 'tap'
import { answerWithBody } from '../support/bodies.ts'
import { type LarderProcess, startLarder, startOrigin, waitFor } from '../support/larder-process.ts'
import { startTraffic, type Traffic, type TrafficOptions } from '../support/traffic.ts'

/**
 * Faults and changes under load over HTTP/1.1, HTTP/1.1 over TLS and HTTP/2, every body checked to its last octet.
 * LARDER_TRAFFIC_SECONDS=60 makes the kills and reloads go on for longer than the tests of every day.
 */

const SECONDS = Number(process.env.LARDER_TRAFFIC_SECONDS ?? 12)
const KILL_EVERY_MS = 2500
const TIMEOUT_MS = 90_000 + SECONDS * 1000
const CLIENTS = { http1: 4, 'http1-tls': 3, http2: 3 }

const tenant = (id: string, url: string) => ({
  id,
  hosts: [`${id}.test`],
  origins: [{ url }],
  certificate: 'self-signed',
})

async function start(t: import('tap').Test, more: Record<string, unknown> = {}) {
  const origin = await startOrigin(t, answerWithBody)
  const config = { tenants: [tenant('a', origin), tenant('b', origin)], ...more }
  const larder = await startLarder(t, config, ['--https', '127.0.0.1:0'])
  return { larder, origin }
}

function load(
  t: import('tap').Test,
  larder: LarderProcess,
  more: Partial<TrafficOptions> = {},
): Traffic {
  const { httpPort, httpsPort } = larder
  const traffic = startTraffic({
    httpPort,
    httpsPort,
    hosts: ['a.test', 'b.test'],
    clients: CLIENTS,
    ...more,
  })
  t.teardown(() => traffic.stop())
  return traffic
}

t.setTimeout(TIMEOUT_MS)

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

t.test('killed workers cost what they were doing, nothing else, and no wrong octet', async (t) => {
  const { larder } = await start(t)
  const traffic = load(t, larder)
  await waitFor(() => traffic.good > 100)
  const endsAt = performance.now() + SECONDS * 1000
  const absencesMs: number[] = []
  for (let kill = 0; performance.now() < endsAt; kill++) {
    const slot = kill % 2
    const { pid } = (await larder.workers())[slot]
    const killedAt = performance.now()
    process.kill(pid ?? 0, 'SIGKILL')
    await waitFor(async () => {
      const worker = (await larder.workers())[slot]
      return worker.pid !== pid && worker.state === 'serving'
    })
    absencesMs.push(performance.now() - killedAt)
    // The time between kills is what the row says; a crash loop is another test.
    await pause(Math.max(0, KILL_EVERY_MS - (performance.now() - killedAt)))
  }
  const { good, corrupt, refused, otherStatus, cut, lost } = await traffic.stop()
  t.comment(`${good} good, ${cut.length} cut; back after ${absencesMs.map(Math.round)} ms`)
  t.same({ corrupt, refused, otherStatus, lost }, NOTHING)
  // At most everything that all clients had under way, at every kill.
  const underWay = CLIENTS.http1 + CLIENTS['http1-tls'] + CLIENTS.http2 * 4
  t.ok(cut.length <= absencesMs.length * underWay, `${cut.length} were cut`)
})

t.test('replaced workers lose no request over any protocol (SIGUSR2)', async (t) => {
  const { larder } = await start(t)
  const traffic = load(t, larder)
  await waitFor(() => traffic.good > 100)
  for (let round = 1; round <= 2; round++) {
    larder.child.kill('SIGUSR2')
    await waitFor(
      () => (larder.stderr.match(/workers are replaced/g)?.length ?? 0) === round,
      60_000,
    )
  }
  const after = traffic.good
  await waitFor(() => traffic.good > after + 100)
  const { corrupt, refused, otherStatus, cut, lost } = await traffic.stop()
  t.same({ corrupt, refused, otherStatus, lost, cut }, { ...NOTHING, cut: [] })
})

t.test('a stop under load cuts no answer that has begun (SIGTERM)', async (t) => {
  const { larder } = await start(t)
  const traffic = load(t, larder)
  await waitFor(() => traffic.good > 300)
  larder.child.kill('SIGTERM')
  await waitFor(() => traffic.refused.length > 0)
  const { corrupt, otherStatus, cutInAnswer } = await traffic.stop()
  t.equal(await larder.ended(), 0)
  t.same({ corrupt, otherStatus, cutInAnswer }, { corrupt: [], otherStatus: [], cutInAnswer: [] })
})

const NOTHING = { corrupt: [], refused: [], otherStatus: [], lost: [] }

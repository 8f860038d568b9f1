import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChallengeRegistry } from '@larder/certs/challenges'
import { parsePurge } from '@larder/purge-bus'
import t, { type Test } from 'tap'
import type { Config } from '../../packages/proxy/src/config/config.ts'
import { loadConfigText } from '../../packages/proxy/src/config/load.ts'
import type { Clock } from '../../packages/proxy/src/http/clock.ts'
import { createLogger } from '../../packages/proxy/src/observability/logger.ts'
import { WorkerMetrics } from '../../packages/proxy/src/observability/metrics.ts'
import { CertificateService } from '../../packages/proxy/src/supervisor/certificates/certificate-service.ts'
import type { ToWorker } from '../../packages/proxy/src/supervisor/messages.ts'
import { type RunningWorker, startWorker } from '../../packages/proxy/src/worker/start-worker.ts'
import type { Client, ClientExchange, Protocol, RequestSpec } from './client.ts'
import { Http1Client } from './h1-client.ts'
import { Http2Client } from './h2-client.ts'
import { HandClock } from './hand-clock.ts'
import type { FieldValues } from './message-reader.ts'
import { type ScriptedOrigin, startScriptedOrigin } from './scripted-origin.ts'

/** An origin, a proxy in front of it and a client: all of what a behaviour test needs. */
export interface Edge {
  readonly protocol: Protocol
  readonly origin: ScriptedOrigin
  readonly clock: HandClock
  readonly client: Client
  readonly ports: { readonly http: number; readonly https: number }
  /** What clients see as scheme and authority. */
  readonly baseUrl: string
  /** Sends a GET and resolves when its answer is complete or cut. */
  get(path: string, fields?: FieldValues): Promise<ClientExchange>
  head(path: string, fields?: FieldValues): Promise<ClientExchange>
  request(spec: RequestSpec): Promise<ClientExchange>
  /** Sends a request whose answer is watched as it comes. */
  open(spec: RequestSpec): ClientExchange
  /** A purge in plain words, as it comes to every worker from the bus. */
  purge(words: string): void
}

/** What an operator would write, but for listeners and origin; the tenant's options may be among them. */
export interface EdgeOptions {
  readonly rules?: readonly unknown[]
  /** Tenants beside it. */
  readonly otherTenants?: readonly unknown[]
  /** More options of the tenant. */
  readonly tenant?: Readonly<Record<string, unknown>>
  readonly [option: string]: unknown
}

type EdgeTest = (t: Test, edge: Edge) => void | Promise<void>

/** `LARDER_TEST_WORKERS=2` runs every test on a machine of two workers, of which one owns a key. */
const WORKERS = Number(process.env.LARDER_TEST_WORKERS ?? 1)
const PROTOCOLS: readonly Protocol[] = ['h1', 'h2']
/** One development authority for all proxies of a test file. */
const stateFolder = t.testdir({})

/** The same promise on every protocol, each with an origin and a proxy of its own. */
export function onBoth(promise: string, body: EdgeTest): void
export function onBoth(promise: string, options: EdgeOptions, body: EdgeTest): void
export function onBoth(promise: string, options: EdgeOptions | EdgeTest, body?: EdgeTest): void {
  const [given, run] = typeof options === 'function' ? [{}, options] : [options, body]
  if (run === undefined) throw new Error(`"${promise}" has no test.`)
  for (const protocol of PROTOCOLS) {
    t.test(`${promise} [${protocol}]`, async (t) => run(t, await startEdge(t, protocol, given)))
  }
}

export async function startEdge(
  t: Test,
  protocol: Protocol,
  options: EdgeOptions = {},
): Promise<Edge> {
  const clock = new HandClock()
  const origin = await startScriptedOrigin(t, clock)
  const ports = await startProxy(t, origin.url, options, clock.clock)
  const client = protocol === 'h1' ? new Http1Client(ports.http) : new Http2Client(ports.https)
  t.teardown(() => client.close())
  const request = (spec: RequestSpec) => client.open(spec).done()
  return {
    protocol,
    origin,
    clock,
    client,
    ports,
    baseUrl:
      protocol === 'h1' ? `http://127.0.0.1:${ports.http}` : `https://127.0.0.1:${ports.https}`,
    get: (path, fields = {}) => request({ path, fields }),
    head: (path, fields = {}) => request({ method: 'HEAD', path, fields }),
    request,
    open: (spec) => client.open(spec),
    purge: ports.purge,
  }
}

export interface StartedProxy {
  readonly http: number
  readonly https: number
  /** One more listener on a free port; resolves to the port. */
  listen(kind: 'http' | 'https', host: string, proxyProtocol?: boolean): Promise<number>
  /** A purge in plain words, as it comes to every worker from the bus. */
  purge(words: string): void
  /** What validating authorities may ask for. */
  readonly challenges: ChallengeRegistry
  /** Another configuration for the running proxy. */
  reconfigure(options: EdgeOptions): Promise<void>
}

/** A proxy in this process on free ports; it keeps the time of day unless given a clock. */
export async function startProxy(
  t: Test,
  originUrl: string,
  options: EdgeOptions = {},
  clock?: Clock,
): Promise<StartedProxy> {
  const read = configFor(originUrl, options)
  const certificates = new CertificateService({ config: read, stateFolder, ...quiet() })
  t.teardown(() => certificates.stop())
  await certificates.start()
  const staged = await certificates.stage(read)
  certificates.apply(staged)
  const { config } = staged
  const peers = { folder: mkdtempSync(join(tmpdir(), 'larder-test-')), slots: WORKERS }
  t.teardown(() => rmSync(peers.folder, { recursive: true, force: true }))
  const challenges = new ChallengeRegistry()
  const workers: RunningWorker[] = []
  for (let slot = 0; slot < WORKERS; slot++) {
    const announceInvalidation = (keys: readonly string[]) => {
      for (const other of workers) if (other !== workers[slot]) other.invalidate(keys)
    }
    const names = certificates.join(receiver(`${slot}`, certificates, () => workers[slot]))
    const own = { names, ask: (pattern: string) => certificates.ask(pattern) }
    const common = { config, slot, peers, clock, challenges, announceInvalidation, ...quiet() }
    workers.push(await startWorker({ ...common, certificates: own }))
  }
  t.teardown(() => Promise.all(workers.map((worker) => worker.drain(0))))
  // Clients meet the last worker; the others own their share of the keys.
  const worker = workers[workers.length - 1]
  let lastNumber = 0
  const purge = (words: string) => {
    const parsed = parsePurge(words)
    if (!parsed.ok) throw new Error(parsed.reason)
    lastNumber++
    for (const { purges } of workers)
      purges.apply([{ number: lastNumber, message: parsed.message }])
  }
  let listeners = 0
  const listen = async (kind: 'http' | 'https', host = '127.0.0.1', proxyProtocol = false) => {
    const listener = { kind, address: `listener ${++listeners}`, proxyProtocol }
    return (await worker.listen(listener, { host, port: 0 })).port
  }
  return {
    http: await listen('http'),
    https: await listen('https'),
    listen,
    purge,
    challenges,
    reconfigure: async (changed) => {
      const next = await certificates.stage(configFor(originUrl, changed))
      certificates.apply(next)
      await certificates.settled()
      await Promise.all(workers.map((each) => each.configure(next.config)))
    },
  }
}

/** What a worker process does with messages about certificates. */
function receiver(name: string, certificates: CertificateService, worker: () => RunningWorker) {
  const send = (message: ToWorker) => {
    if (message.type === 'certificate-names') worker().certificates.learn(message.names)
    if (message.type !== 'certificates-changed') return
    worker().certificates.changed(message.names, message.hasFallback)
    certificates.seen(name, message.number)
  }
  return { name, send }
}

function quiet() {
  return { metrics: new WorkerMetrics(), logger: createLogger({ level: 'error' }) }
}

function configFor(
  originUrl: string,
  { rules = [], tenant = {}, otherTenants = [], ...options }: EdgeOptions,
): Config {
  const written = {
    listen: { http: ['127.0.0.1:0'], https: ['127.0.0.1:0'] },
    logging: { access: { output: 'off' } },
    ...options,
    tenants: [
      {
        id: 'test',
        hosts: ['*'],
        origins: [{ url: originUrl }],
        certificate: 'self-signed',
        rules,
        ...tenant,
      },
      ...otherTenants,
    ],
  }
  const loaded = loadConfigText(JSON.stringify(written), 'larder.json')
  if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('\n'))
  return loaded.config
}

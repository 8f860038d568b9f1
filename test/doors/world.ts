import { BlockList } from 'node:net'
import { Duplex } from 'node:stream'
import { PurgeTable } from '@larder/purge-bus'
import { NO_DIRECTIVES } from '../../packages/proxy/src/caching/cache-control.ts'
import { DEFAULT_RULE } from '../../packages/proxy/src/caching/cache-rule.ts'
import { loadConfigText } from '../../packages/proxy/src/config/load.ts'
import { Clock } from '../../packages/proxy/src/http/clock.ts'
import { Fields } from '../../packages/proxy/src/http/fields.ts'
import { ProxyError } from '../../packages/proxy/src/http/proxy-error.ts'
import { cacheKey } from '../../packages/proxy/src/pipeline/cache-key.ts'
import { type HitRecorder, PipelineDoor } from '../../packages/proxy/src/pipeline/front-door.ts'
import { judgeResponse } from '../../packages/proxy/src/pipeline/judge-response.ts'
import { Pipeline } from '../../packages/proxy/src/pipeline/pipeline.ts'
import { resolveUrl } from '../../packages/proxy/src/pipeline/purge-keys.ts'
import { compileSite } from '../../packages/proxy/src/pipeline/site.ts'
import { Purges } from '../../packages/proxy/src/purge/purges.ts'
import { MemoryTier } from '../../packages/proxy/src/storage/memory-tier.ts'
import type { ClientFacts, FrontDoor } from '../../packages/proxy/src/transport/exchange.ts'
import { serveHttp1 } from '../../packages/proxy/src/transport/h1/connection.ts'
import { serveHttp2 } from '../../packages/proxy/src/transport/h2/connection.ts'
import { DEFAULT_LIMITS } from '../../packages/proxy/src/transport/limits.ts'
import { TimerWheel } from '../../packages/proxy/src/transport/timer-wheel.ts'

/** Everything behind a socket but origins, standing still at one instant: the same bytes in give the same bytes out. */
export interface World {
  /** How many answers went through the synchronous door. */
  readonly hits: { count: number }
  connect(protocol: 'h1' | 'h2'): MemorySocket
}

export const NOW = Date.UTC(2026, 10, 20, 12, 0, 0)

const CONFIG = `
listen: { http: ['127.0.0.1:0'] }
tenants:
  - id: one
    hosts: [www.test, '*.img.test']
    origins: [{ url: 'http://127.0.0.1:1' }]
    rules:
      - { path: '/api/*', cache: bypass }
      - { path: '/noquery/*', cache: { query: ignore } }
      - { path: '/own/*', cache: { requestDirectives: ignore } }
      - { path: '/keyed/*', cache: { key: { headers: [x-key] } } }
  - id: two
    hosts: [other.test]
    origins: [{ url: 'http://127.0.0.1:1' }]
`

const DATE = new Date(NOW - 10_000).toUTCString()
const MODIFIED = 'Thu, 19 Nov 2026 08:00:00 GMT'

/** [target, status, fields, body]; stored as if they had come ten seconds ago. */
const STORED: [string, number, Record<string, string>, string, Record<string, string>?][] = [
  ['/plain', 200, { 'cache-control': 'max-age=60' }, 'plain'],
  ['/tagged', 200, { 'cache-control': 'max-age=60', etag: '"a,b"' }, 'tagged'],
  ['/weak', 200, { 'cache-control': 'max-age=60', etag: 'W/"w"', 'last-modified': MODIFIED }, 'w'],
  ['/dated', 200, { 'cache-control': 'max-age=60', 'last-modified': MODIFIED }, 'dated'],
  ['/stale', 200, { 'cache-control': 'max-age=1', etag: '"s"' }, 'stale'],
  ['/validated', 200, { 'cache-control': 'no-cache', etag: '"v"' }, 'validated'],
  ['/missing', 404, { 'cache-control': 'max-age=60', etag: '"m"' }, 'not there'],
  ['/moved', 301, { 'cache-control': 'max-age=60', location: '/plain' }, ''],
  ['/empty', 204, { 'cache-control': 'max-age=60', etag: '"e"' }, ''],
  ['/own/x', 200, { 'cache-control': 'max-age=60' }, 'own'],
  ['/noquery/x', 200, { 'cache-control': 'max-age=60' }, 'noquery'],
  ['/keyed/x', 200, { 'cache-control': 'max-age=60' }, 'keyed'],
  [
    '/targeted',
    200,
    { 'larder-cache-control': 'max-age=60', 'surrogate-control': 'max-age=9' },
    't',
  ],
  ['/upper?Q=1&q=%2f', 200, { 'cache-control': 'max-age=60' }, 'query'],
  ['/large', 200, { 'cache-control': 'max-age=60', etag: '"l"' }, 'l'.repeat(40_000)],
  ['/coded', 200, { 'cache-control': 'max-age=60', vary: 'Accept-Encoding' }, 'none'],
  [
    '/coded',
    200,
    { 'cache-control': 'max-age=60', vary: 'Accept-Encoding', 'content-encoding': 'gzip' },
    'gzip',
    { 'accept-encoding': 'gzip, br' },
  ],
  [
    '/spoken',
    200,
    { 'cache-control': 'max-age=60', vary: 'accept-language', 'content-language': 'de' },
    'deutsch',
    { 'accept-language': 'de, en' },
  ],
  [
    '/varied',
    200,
    { 'cache-control': 'max-age=60', vary: 'X-Foo, accept' },
    'foo',
    { 'x-foo': '1,2' },
  ],
]

export const TARGETS = [...new Set(STORED.map(([target]) => target)), '/api/x', '/nothing', '*']
export const DATES = [
  MODIFIED,
  DATE,
  'Thu, 19 Nov 2026 07:59:59 GMT',
  'Thu Nov 19 08:00:00 2026',
  'x',
]

/** `synchronous`: whether memory hits may go through the door of their own. */
export function makeWorld(synchronous: boolean): World {
  const loaded = loadConfigText(CONFIG, 'larder.yaml')
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const site = compileSite(loaded.config)
  const clock = new Clock(() => NOW)
  const wheel = new TimerWheel(() => 1)
  const tier = new MemoryTier(64 * 1024 * 1024, 1024 * 1024)
  fill(tier)
  const table = new PurgeTable({ resolve: resolveUrl(site) })
  const purges = new Purges({ table, whenCutOff: 'serve', isAlone: true, now: () => NOW })
  const pipeline = new Pipeline({
    site,
    tier,
    shared: null,
    peers: null,
    lease: null,
    purges,
    clock,
    pseudonym: 'larder-test',
    trustedProxies: new BlockList(),
    maxRequestBodyBytes: undefined,
    originsOf: () => ({
      fetch(_request, handler) {
        process.nextTick(() => handler.onError(new ProxyError('ORIGIN_DOWN', ['one', 0])))
        return { pause() {}, resume() {}, abort() {} }
      },
      close() {},
    }),
    record() {},
    countOrigin() {},
    countOriginBytes() {},
    countCollapsed() {},
    announceInvalidation() {},
    purgeFrom: new BlockList(),
    publishPurge: undefined,
  })
  const hits = { count: 0 }
  const recorder: HitRecorder = { recordHit: () => hits.count++, recordRefusal() {} }
  const door = new PipelineDoor(site, tier, clock, purges, pipeline, recorder)
  const used: FrontDoor = synchronous ? door : generalOnly(door)
  const options = { door: used, clock, wheel, limits: DEFAULT_LIMITS }
  return {
    hits,
    connect(protocol) {
      const socket = new MemorySocket()
      if (protocol === 'h1') serveHttp1(socket, CLIENT, options)
      else serveHttp2(socket, CLIENT, options)
      return socket
    },
  }
}

function generalOnly(door: FrontDoor): FrontDoor {
  return {
    lookUp: () => null,
    answered() {},
    handle: (exchange) => door.handle(exchange),
    refused: (...refusal) => door.refused(...refusal),
  }
}

function fill(tier: MemoryTier): void {
  for (const [target, status, fields, body, request] of STORED) {
    const received = Fields.from(Object.entries({ date: DATE, ...fields }))
    const asked = {
      key: cacheKey('one', 'http', 'www.test', target),
      keyExtra: target.startsWith('/keyed/') ? '\nh:x-key=1' : '',
      method: 'GET',
      requestFields: Fields.from(Object.entries(request ?? {})),
      requestDirectives: NO_DIRECTIVES,
      rule: DEFAULT_RULE,
      validating: null,
      ranged: false,
      requestAt: NOW - 10_000,
      purgeSequence: 0,
    }
    const verdict = judgeResponse(asked, status, received, 'origin', NOW - 10_000)
    if (verdict.kind !== 'store') throw new Error(`${target}: ${verdict.kind}`)
    const insertion = tier.insert(verdict.metadata, undefined)
    insertion?.write(Buffer.from(body))
    insertion?.commit()
  }
}

export const CLIENT: ClientFacts = {
  address: '192.0.2.7',
  port: 40_000,
  peerAddress: '192.0.2.7',
  localPort: 80,
  secure: false,
  serverName: undefined,
  tlsVersion: undefined,
  certificate: null,
}

/** A socket whose other end is this test. */
export class MemorySocket extends Duplex {
  readonly #written: Buffer[] = []
  writtenBytes = 0
  constructor() {
    super({ allowHalfOpen: true })
    this.on('error', () => undefined)
  }

  get output(): Buffer {
    return Buffer.concat(this.#written)
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#written.push(Buffer.from(chunk))
    this.writtenBytes += chunk.length
    done()
  }

  override _final(done: () => void): void {
    done()
  }
}

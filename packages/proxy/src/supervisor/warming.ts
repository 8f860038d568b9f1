import { parseAddress } from '../config/address.ts'
import type { WarmConfig } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import { type DoorPlace, ProxyDoor } from '../warm/proxy-door.ts'
import { listUrls } from '../warm/url-list.ts'
import { type WarmReport, warm } from '../warm/warm.ts'
import type { WorkerListener } from './messages.ts'

/** Requests under way: few, so that clients that come already are not slowed down. */
const CONCURRENCY = 8

/** Fetches what the configuration names when the proxy has started; until it is done the proxy is not ready. */
export class Warming {
  readonly #config: WarmConfig
  readonly #logger: Logger
  readonly #ended = new AbortController()
  #isDone = false
  #report: WarmReport | null = null

  constructor(config: WarmConfig, logger: Logger) {
    this.#config = config
    this.#logger = logger
  }

  /** Why the proxy is not ready; undefined when this is no reason (any more). */
  get reason(): string | undefined {
    if (this.#isDone) return undefined
    if (this.#report === null) return 'warming'
    const { urls, fetched, failed } = this.#report
    return `warming: ${fetched + failed} of ${urls} URLs`
  }

  /** Settles when it is done or its time is over; what cannot be had is told and is no reason to wait. */
  async run(listeners: readonly WorkerListener[]): Promise<void> {
    const { source, ratePerSecond, atMostMs } = this.#config
    const door = new ProxyDoor({
      plain: placeOf(listeners, 'http'),
      secure: placeOf(listeners, 'https'),
      concurrency: CONCURRENCY,
    })
    const signal = AbortSignal.any([AbortSignal.timeout(atMostMs), this.#ended.signal])
    try {
      const urls = await listUrls(source, door, signal)
      this.#logger.info({ urls: urls.length, ratePerSecond }, 'warming')
      const onProgress = (report: WarmReport) => {
        this.#report = report
      }
      const options = { door, ratePerSecond, concurrency: CONCURRENCY, signal, onProgress }
      const { fetched, failed, bytes, failures, complete } = await warm(urls, options)
      const told = { fetched, failed, bytes, complete, first: failures[0] }
      if (failed === 0) this.#logger.info(told, 'warm')
      else this.#logger.warn(told, 'warm, but for what could not be had')
    } catch (error) {
      this.#logger.error({ err: error }, 'nothing was warmed: see warm.from in the configuration')
    } finally {
      this.#isDone = true
      door.close()
    }
  }

  stop(): void {
    this.#ended.abort()
  }
}

/** A listener that takes a connection as it is. */
function placeOf(
  listeners: readonly WorkerListener[],
  kind: WorkerListener['kind'],
): DoorPlace | undefined {
  const found = listeners.find((one) => one.kind === kind && !one.proxyProtocol)
  const address = found === undefined ? undefined : parseAddress(found.address)
  if (address === undefined) return undefined
  const { host, port } = address
  return {
    host: host === '' || host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host,
    port,
  }
}

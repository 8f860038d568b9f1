import { Agent, type IncomingMessage, request } from 'node:http'
import { request as requestSecure, Agent as SecureAgent } from 'node:https'
import { isIP } from 'node:net'

/** Data listeners of the proxy that is to be warmed: host and port. */
export interface DoorPlace {
  readonly host: string
  readonly port: number
}

export interface ProxyDoorOptions {
  /** For http: URLs; undefined when there is none. */
  readonly plain: DoorPlace | undefined
  /** For https: URLs. */
  readonly secure: DoorPlace | undefined
  /** Connections of each kind. */
  readonly concurrency: number
}

export interface Answered {
  readonly status: number
  readonly bytes: number
  /** As long as it was asked for. */
  readonly body: Buffer
}

/** As browsers ask: what they will find. */
const ACCEPT_ENCODING = 'gzip, deflate, br, zstd'
/** Without a byte for so long, it is given up. */
const SILENCE_MS = 30_000

/** Asks a proxy for URLs whatever their names lead to: the connection goes to its listener, the host is in the field. */
export class ProxyDoor {
  readonly #options: ProxyDoorOptions
  readonly #plain: Agent
  readonly #secure: SecureAgent

  constructor(options: ProxyDoorOptions) {
    this.#options = options
    const agent = { keepAlive: true, maxSockets: options.concurrency }
    this.#plain = new Agent(agent)
    this.#secure = new SecureAgent(agent)
  }

  /** Rejects when there is no whole answer. `keepBytes`: of the body; a longer one is no answer. */
  get(text: string, signal: AbortSignal, keepBytes = 0): Promise<Answered> {
    const url = new URL(text)
    const secure = url.protocol === 'https:'
    const place = secure ? this.#options.secure : this.#options.plain
    if (place === undefined) {
      return Promise.reject(new Error(`the proxy has no listener for ${url.protocol} URLs`))
    }
    const options = {
      host: place.host,
      port: place.port,
      path: url.pathname + url.search,
      signal,
      headers: {
        host: url.host,
        'accept-encoding': keepBytes > 0 ? 'identity' : ACCEPT_ENCODING,
        'user-agent': 'larder-warm',
      },
    }
    return new Promise((resolve, reject) => {
      const take = (response: IncomingMessage) => drain(response, keepBytes).then(resolve, reject)
      const sent = secure
        ? requestSecure({ ...options, ...verification(url, place), agent: this.#secure }, take)
        : request({ ...options, agent: this.#plain }, take)
      sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error(`no byte for ${SILENCE_MS} ms`)))
      sent.on('error', reject)
      sent.end()
    })
  }

  close(): void {
    this.#plain.destroy()
    this.#secure.destroy()
  }
}

/** On this machine it is the proxy, whatever its certificate says: one of a PoP's own may not be known here. */
function verification({ hostname }: URL, { host }: DoorPlace) {
  const isHere = host === 'localhost' || host === '::1' || host.startsWith('127.')
  return { servername: isIP(hostname) === 0 ? hostname : '', rejectUnauthorized: !isHere }
}

function drain(response: IncomingMessage, keepBytes: number): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const kept: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (keepBytes === 0) return
      if (bytes > keepBytes) response.destroy(new Error(`longer than ${keepBytes} bytes`))
      else kept.push(chunk)
    })
    response.on('error', reject)
    response.on('close', () => {
      if (!response.complete) reject(new Error('the answer was cut'))
    })
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, bytes, body: Buffer.concat(kept) }),
    )
  })
}

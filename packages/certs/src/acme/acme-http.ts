import { Agent, request } from 'undici'
import { AcmeError } from './acme-error.ts'

export interface AcmeResponse {
  readonly status: number
  readonly body: string
  /** undefined when the field is absent. */
  readonly nonce: string | undefined
  readonly location: string | undefined
  /** From now; undefined when the authority does not say. */
  readonly retryAfterMs: number | undefined
}

/** From the connection to the last byte of an answer. */
const DEADLINE_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000
/** Directories, orders and chains have a few KiB. */
const MAX_BODY_BYTES = 1024 * 1024
/** RFC 8555 §6.1 asks for one. */
const USER_AGENT = 'larder/0.1.0 (ACME client)'

/** HTTP to the authority: TLS only, every answer bounded in time and size, redirects not followed. */
export class AcmeHttp {
  readonly #agent: Agent
  readonly #now: () => number

  /** `caPem`: the authorities whose certificates the directory may have; undefined = the usual ones of the Web. */
  constructor(caPem: string | undefined, now: () => number) {
    this.#agent = new Agent({
      allowH2: false,
      connections: 4,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(caPem === undefined ? {} : { ca: caPem }) },
    })
    this.#now = now
  }

  get(url: string, signal: AbortSignal): Promise<AcmeResponse> {
    return this.#send('GET', url, undefined, 'application/json', signal)
  }

  head(url: string, signal: AbortSignal): Promise<AcmeResponse> {
    return this.#send('HEAD', url, undefined, '*/*', signal)
  }

  /** RFC 8555 §6.2 */
  post(url: string, jws: string, accept: string, signal: AbortSignal): Promise<AcmeResponse> {
    return this.#send('POST', url, jws, accept, signal)
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  async #send(
    method: 'GET' | 'HEAD' | 'POST',
    url: string,
    body: string | undefined,
    accept: string,
    signal: AbortSignal,
  ): Promise<AcmeResponse> {
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    try {
      const answer = await request(secureUrl(url), {
        method,
        dispatcher: this.#agent,
        signal: AbortSignal.any([signal, deadline]),
        headers: {
          'user-agent': USER_AGENT,
          accept,
          ...(body === undefined ? {} : { 'content-type': 'application/jose+json' }),
        },
        body,
      })
      const { headers } = answer
      return {
        status: answer.statusCode,
        body: await boundedText(answer.body, url),
        nonce: one(headers['replay-nonce']),
        location: one(headers.location),
        retryAfterMs: retryAfterMs(one(headers['retry-after']), this.#now()),
      }
    } catch (cause) {
      if (cause instanceof AcmeError) throw cause
      if (signal.aborted) throw signal.reason
      const why = deadline.aborted ? `no answer within ${DEADLINE_MS / 1000} s` : reasonOf(cause)
      throw new AcmeError('unreachable', `The authority cannot be reached at ${url}: ${why}.`, {
        cause,
      })
    }
  }
}

/** Seconds or a date (RFC 9110 §10.2.3), as ms from now; undefined when it is neither. */
export function retryAfterMs(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  // Date.parse also makes a date of '-5'.
  const at = /^[A-Z][a-z]{2,8}, /.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}

/** What the authority says of itself is not a reason to talk to anyone in clear. */
function secureUrl(url: string): URL {
  if (!URL.canParse(url) || !url.startsWith('https://')) {
    throw new AcmeError(
      'refused',
      `The authority names '${url.slice(0, 200)}', which is no https URL.`,
    )
  }
  return new URL(url)
}

async function boundedText(body: AsyncIterable<Buffer>, url: string): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) {
      throw new AcmeError(
        'unreachable',
        `The answer at ${url} has more than ${MAX_BODY_BYTES} bytes.`,
      )
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  return code === undefined || error.message.includes(code)
    ? error.message
    : `${error.message} (${code})`
}

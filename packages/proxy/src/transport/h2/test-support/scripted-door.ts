import { Fields } from '../../../http/fields.ts'
import type {
  ClientFacts,
  Exchange,
  ExchangeEnd,
  FrontDoor,
  ReadyAnswer,
  RequestView,
} from '../../exchange.ts'
import { encodeHeadBlock } from '../hpack-encoder.ts'

/** What one exchange did, as the pipeline would see it. */
export interface Seen {
  readonly exchange: Exchange
  readonly closed: Promise<ExchangeEnd>
}

/** A front door with answers set by the test; everything that reaches it is noted. */
export class ScriptedDoor implements FrontDoor {
  readonly ready = new Map<string, ReadyAnswer>()
  readonly seen: Seen[] = []
  readonly refusals: { status: number; reason: string }[] = []
  readonly answeredTargets: string[] = []
  /** What the general door does; answers 200 "ok" unless the test sets it. */
  onExchange: (exchange: Exchange) => void = (exchange) => respondText(exchange, 200, 'ok')
  /** Called with each view, for tests of the view itself. */
  onLookUp: ((view: RequestView) => void) | null = null
  #waiting: { count: number; resolve: () => void }[] = []

  lookUp(view: RequestView, _client: ClientFacts): ReadyAnswer | null {
    this.onLookUp?.(view)
    return this.ready.get(view.target) ?? null
  }

  answered(view: RequestView): void {
    this.answeredTargets.push(view.target)
  }

  handle(exchange: Exchange): void {
    const { promise, resolve } = Promise.withResolvers<ExchangeEnd>()
    exchange.onClose = resolve
    this.seen.push({ exchange, closed: promise })
    this.onExchange(exchange)
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.seen.length < count) return true
      resolve()
      return false
    })
  }

  refused(_client: ClientFacts, status: number, reason: string): void {
    this.refusals.push({ status, reason })
  }

  /** The exchange with this index (from 0), when it has come. */
  async exchange(index: number): Promise<Seen> {
    if (this.seen.length <= index) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.push({ count: index + 1, resolve })
      await promise
    }
    return this.seen[index]
  }
}

export function respondText(exchange: Exchange, status: number, text: string): void {
  const body = Buffer.from(text)
  const fields = new Fields(['content-length', String(body.length), 'content-type', 'text/plain'])
  exchange.respond({ status, fields }, body)
}

export function readyAnswer(body: Buffer | null, status = 200): ReadyAnswer {
  const fields = new Fields(['content-type', 'text/plain', 'etag', '"a"'])
  if (body !== null) fields.add('content-length', String(body.length))
  return {
    status,
    http1Head: '',
    hpackHead: encodeHeadBlock(status, fields).toString('latin1'),
    body,
    ageBaseAt: Date.now() - 5500,
    freshUntilAt: Date.now() + 60_000,
  }
}

/** The whole request body as one buffer, and its trailers. */
export function readBody(exchange: Exchange): Promise<{ body: Buffer; trailers: Fields | null }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    body: Buffer
    trailers: Fields | null
  }>()
  if (exchange.body === null) resolve({ body: Buffer.alloc(0), trailers: null })
  const chunks: Buffer[] = []
  exchange.body?.consume({
    onChunk: (chunk) => chunks.push(chunk),
    onEnd: (trailers) => resolve({ body: Buffer.concat(chunks), trailers }),
    onAbort: () => reject(new Error('aborted')),
  })
  return promise
}

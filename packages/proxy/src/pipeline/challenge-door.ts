import { Fields } from '../http/fields.ts'
import type {
  ClientFacts,
  Exchange,
  ExchangeEnd,
  FrontDoor,
  ReadyAnswer,
  RequestView,
} from '../transport/exchange.ts'
import { respond } from './answer.ts'
import { Transaction } from './transaction.ts'

/** What validating authorities may ask for at this moment. */
export interface HttpChallenges {
  /** False most of the time: then no request is for us. */
  readonly hasTokens: boolean
  /** What the request target asks for; null = the request is like any other. */
  answerTo(target: string): string | null
}

/**
 * Answers an ACME authority that validates a name by HTTP-01 (RFC 8555 §8.3), before routing, redirects and the cache.
 * Only tokens of our own orders are answered: origins that have clients of their own see their requests as ever.
 */
export class ChallengeDoor implements FrontDoor {
  readonly #inner: FrontDoor
  readonly #challenges: HttpChallenges
  readonly #record: (tx: Transaction, end: ExchangeEnd) => void

  constructor(
    inner: FrontDoor,
    challenges: HttpChallenges,
    record: (tx: Transaction, end: ExchangeEnd) => void,
  ) {
    this.#inner = inner
    this.#challenges = challenges
    this.#record = record
  }

  lookUp(view: RequestView, client: ClientFacts): ReadyAnswer | null {
    if (this.#challenges.hasTokens && this.#challenges.answerTo(view.target) !== null) return null
    return this.#inner.lookUp(view, client)
  }

  answered(
    view: RequestView,
    client: ClientFacts,
    answer: ReadyAnswer,
    bytes: number,
    startedAt: number,
  ): void {
    this.#inner.answered(view, client, answer, bytes, startedAt)
  }

  handle(exchange: Exchange): void {
    const keyAuthorization = this.#challenges.hasTokens ? this.#answerTo(exchange) : null
    if (keyAuthorization === null) return this.#inner.handle(exchange)
    const tx = new Transaction(exchange)
    exchange.onClose = (end) => this.#record(tx, end)
    const body = Buffer.from(keyAuthorization, 'latin1')
    const fields = new Fields([
      ...['content-type', 'application/octet-stream'],
      ...['content-length', `${body.length}`],
      ...['cache-control', 'no-store'],
    ])
    respond(tx, 200, fields, exchange.request.method === 'HEAD' ? null : body)
  }

  refused(client: ClientFacts, status: number, reason: string): void {
    this.#inner.refused(client, status, reason)
  }

  #answerTo({ request }: Exchange): string | null {
    const { method, target } = request
    return method === 'GET' || method === 'HEAD' ? this.#challenges.answerTo(target) : null
  }
}

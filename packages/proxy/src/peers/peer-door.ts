import type { SliceRequest } from '../caching/slices.ts'
import type { Fields } from '../http/fields.ts'
import type {
  ClientFacts,
  Exchange,
  ExchangeEnd,
  FrontDoor,
  RequestBody,
  RequestHead,
  ResponseHead,
  ResponseWriter,
} from '../transport/exchange.ts'
import type { SwitchRefusal } from '../transport/upgraded-connection.ts'
import { readPeerRequest } from './peer-request.ts'

/**
 * Where the requests of other workers come in: each becomes the exchange that its client had in mind. It waits until
 * this worker has applied the purges that the asking one has (`reached`).
 */
export function peerDoor(
  reached: (purgeNumber: number) => Promise<boolean> | true,
  handle: (exchange: Exchange, slice: SliceRequest | null) => void,
): FrontDoor {
  return {
    lookUp: () => null,
    answered() {},
    handle(exchange) {
      const read = readPeerRequest(exchange.request)
      if (read === null) return exchange.abort()
      const asked = new PeerExchange(exchange, read.request, read.client)
      const isReached = reached(read.purgeNumber)
      if (isReached === true) return handle(asked, read.slice)
      let isClosed = false
      exchange.onClose = () => {
        isClosed = true
      }
      void isReached.then((inTime) => {
        if (isClosed) return
        if (inTime) handle(asked, read.slice)
        else exchange.abort()
      })
    },
    refused() {},
  }
}

class PeerExchange implements Exchange {
  readonly request: RequestHead
  readonly client: ClientFacts
  /** Only misses come this way; who asks has the client's connection. */
  readonly upgrade = null
  readonly #inner: Exchange

  constructor(inner: Exchange, request: RequestHead, client: ClientFacts) {
    this.#inner = inner
    this.request = request
    this.client = client
  }

  get body(): RequestBody | null {
    return this.#inner.body
  }

  get startedAt(): number {
    return this.#inner.startedAt
  }

  get onClose(): ((end: ExchangeEnd) => void) | null {
    return this.#inner.onClose
  }

  set onClose(callback: ((end: ExchangeEnd) => void) | null) {
    this.#inner.onClose = callback
  }

  inform(status: number, fields: Fields): void {
    this.#inner.inform(status, fields)
  }

  respond(head: ResponseHead, body: Uint8Array | null): void {
    this.#inner.respond(head, body)
  }

  respondStreaming(head: ResponseHead): ResponseWriter {
    return this.#inner.respondStreaming(head)
  }

  switchProtocols(): SwitchRefusal {
    return 'not-asked'
  }

  abort(): void {
    this.#inner.abort()
  }
}

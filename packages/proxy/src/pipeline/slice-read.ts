import type { SliceRequest } from '../caching/slices.ts'
import type { Fields } from '../http/fields.ts'
import type { BodyRead } from '../storage/shared-tier.ts'
import type {
  ClientFacts,
  Exchange,
  ExchangeEnd,
  RequestHead,
  ResponseHead,
  ResponseWriter,
} from '../transport/exchange.ts'
import type { SwitchRefusal } from '../transport/upgraded-connection.ts'
import type { Outcome } from './outcome.ts'
import type { WantedBytes } from './transaction.ts'

/** Held of a slice that its reader has not taken yet; whoever writes it waits beyond that. */
const MAX_HELD_BYTES = 128 * 1024

/** Fields of the client's request that are about the whole: a slice is asked for by its own. */
const ABOUT_THE_WHOLE: ReadonlySet<string> = new Set([
  'range',
  'if-range',
  'if-none-match',
  'if-modified-since',
])

/**
 * A request of this proxy to itself for one slice, and the answer as it is read: the pipeline sees an exchange like any
 * other, so that everything that holds for those (tiers, owners, collapsing, back-pressure) holds for slices.
 */
export class SliceRead implements Exchange, BodyRead {
  readonly upgrade = null
  readonly slice: SliceRequest
  readonly wanted: WantedBytes
  readonly request: RequestHead
  readonly client: ClientFacts
  readonly body = null
  readonly startedAt = performance.now()
  onClose: ((end: ExchangeEnd) => void) | null = null
  /** What the pipeline has to say of it, once there is a head. */
  outcome: Outcome | null = null
  readonly #head = Promise.withResolvers<ResponseHead | null>()
  #pieces: Uint8Array[] = []
  #heldBytes = 0
  #sentBytes = 0
  #state: 'open' | 'ended' | 'cut' = 'open'
  #closed = false
  #full = false
  #wake: (() => void) | null = null
  readonly #writer: ResponseWriter = {
    write: (chunk) => this.#write(chunk),
    end: () => this.#end(),
    onDrain: null,
  }

  constructor(exchange: Exchange, request: RequestHead, slice: SliceRequest, wanted: WantedBytes) {
    this.slice = slice
    this.wanted = wanted
    this.client = exchange.client
    const fields = request.fields.without((name) => ABOUT_THE_WHOLE.has(name))
    this.request = { ...request, method: 'GET', fields }
  }

  /** Resolves when the answer has begun; null when there will be none. */
  head(): Promise<ResponseHead | null> {
    return this.#head.promise
  }

  inform(_status: number, _fields: Fields): void {
    // An interim response to a slice is of no use to whoever asked for the whole.
  }

  respond(head: ResponseHead, body: Uint8Array | null): void {
    this.#head.resolve(head)
    if (body !== null && body.length > 0) this.#write(body)
    this.#end()
  }

  respondStreaming(head: ResponseHead): ResponseWriter {
    this.#head.resolve(head)
    return this.#writer
  }

  switchProtocols(): SwitchRefusal {
    return 'not-asked'
  }

  abort(): void {
    if (this.#state !== 'open') return
    this.#state = 'cut'
    this.#head.resolve(null)
    this.#wakeReader()
    this.#over(false)
  }

  #write(chunk: Uint8Array): boolean {
    if (this.#closed || this.#state !== 'open') return true
    this.#pieces.push(chunk)
    this.#heldBytes += chunk.length
    this.#wakeReader()
    this.#full = this.#heldBytes >= MAX_HELD_BYTES
    return !this.#full
  }

  #end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.#wakeReader()
    this.#over(true)
  }

  #wakeReader(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  /** Never from inside the call that brought it about. */
  #over(complete: boolean): void {
    const bytesSent = this.#sentBytes
    queueMicrotask(() => {
      const { onClose } = this
      this.onClose = null
      onClose?.({ complete, bytesSent })
    })
  }

  async next(): Promise<Buffer | null> {
    while (this.#pieces.length === 0 && this.#state === 'open' && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const piece = this.#pieces.shift()
    if (piece === undefined) {
      if (this.#state === 'cut') throw new Error('a slice was cut')
      return null
    }
    this.#sentBytes += piece.length
    this.#heldBytes -= piece.length
    if (this.#full && this.#heldBytes < MAX_HELD_BYTES / 2) {
      this.#full = false
      this.#writer.onDrain?.()
    }
    return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
  }

  /** Nobody reads on: the fetch goes on for those who read along, and for the store. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#pieces = []
    if (this.#state !== 'open') return
    this.#state = 'cut'
    this.#head.resolve(null)
    this.#wakeReader()
    this.#over(false)
  }
}

import { randomBytes } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import { TICKET_KEY_BYTES, type TicketKeySet } from '@larder/certs'

interface TicketKey {
  readonly name: Buffer
  readonly hmac: Buffer
  readonly aes: Buffer
}

/** Whether the ticket can be read, its key; for a new ticket also the name of the key and an initialisation vector. */
type Answer = [found: 0 | 1 | 2, hmac: Buffer, aes: Buffer, name?: Buffer, iv?: Buffer]

/** The native context behind node:tls, of which its types tell nothing. */
interface NativeContext {
  enableTicketKeyCallback?: () => void
  onticketkeycallback?: (name: Buffer, iv: Buffer, sealing: boolean) => Answer
  setTicketKeys(keys: Buffer): void
}

const UNKNOWN = 0
const SEALED = 1
/** RFC 8446 §C.4: a ticket is used once, lest it tell who the client is; so there is a new one each time. */
const KNOWN_AND_RENEWED = 2

/**
 * Seals and opens tickets with several keys at a time. `ticketKeys` of node:tls has room for one, with which every
 * rotation would forget all sessions; the callback that OpenSSL asks is there in node:tls too, though undocumented: it
 * costs some 10 µs a ticket, in handshakes of fifty times that. A Node without it gets the current key alone.
 */
export class TicketKeys {
  #current: TicketKey
  #known: readonly TicketKey[]
  #keys: Buffer

  constructor() {
    this.#keys = randomBytes(TICKET_KEY_BYTES)
    this.#current = ticketKey(this.#keys)
    this.#known = [this.#current]
  }

  /** Holds from the next ticket on, in all contexts. */
  set({ current, others }: TicketKeySet): void {
    this.#keys = Buffer.from(current)
    this.#current = ticketKey(current)
    this.#known = [this.#current, ...others.map(ticketKey)]
  }

  /** Tickets of this context are sealed and opened here; to be called before each use. */
  applyTo(context: SecureContext): void {
    // Node's own class, whose methods its types leave out.
    const native = context.context as NativeContext
    if (native.onticketkeycallback === this.#answer) return
    if (native.enableTicketKeyCallback === undefined) {
      native.setTicketKeys(this.#keys)
      return
    }
    native.onticketkeycallback = this.#answer
    native.enableTicketKeyCallback()
  }

  /** Called by OpenSSL in the middle of a handshake: must not throw. */
  readonly #answer = (name: Buffer, _iv: Buffer, sealing: boolean): Answer => {
    const current = this.#current
    if (sealing) return [SEALED, current.hmac, current.aes, current.name, randomBytes(16)]
    for (const key of this.#known) {
      if (key.name.equals(name)) return [KNOWN_AND_RENEWED, key.hmac, key.aes]
    }
    return [UNKNOWN, current.hmac, current.aes]
  }
}

function ticketKey(octets: Uint8Array): TicketKey {
  const bytes = Buffer.from(octets)
  if (bytes.length !== TICKET_KEY_BYTES) {
    throw new RangeError(`A ticket key has ${TICKET_KEY_BYTES} octets, not ${bytes.length}.`)
  }
  return { name: bytes.subarray(0, 16), hmac: bytes.subarray(16, 32), aes: bytes.subarray(32) }
}

import { randomBytes } from 'node:crypto'
import type { SecureContext } from 'node:tls'

/** 16 octets of name, 16 for HMAC-SHA-256, 16 for AES-128-CBC: as `ticketKeys` of node:tls has them. */
export const TICKET_KEY_BYTES = 48

/** The keys of session tickets (RFC 5077 §4, RFC 8446 §4.6.1), alike in everyone who is to know each other's tickets. */
export interface TicketKeySet {
  /** New tickets are sealed with it. */
  readonly current: Uint8Array
  /** Tickets of these are known as well: former keys, and the one that others may use already. */
  readonly others: readonly Uint8Array[]
}

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
const KNOWN = 1
/** Known, and the client is to get a new ticket. */
const KNOWN_BUT_OLD = 2

/**
 * Seals and opens tickets with several keys at a time. `ticketKeys` of node:tls has room for one, with which every
 * rotation would forget all sessions; the callback that OpenSSL asks is there in node:tls too, though undocumented: it
 * costs 4 µs a ticket, in handshakes of a hundred times that. A Node without it gets the current key alone.
 */
export class TicketKeys {
  #current: TicketKey
  #known: readonly TicketKey[]
  /** Former keys: whoever comes with one gets a ticket of the current one. */
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
    if (sealing) return [KNOWN, current.hmac, current.aes, current.name, randomBytes(16)]
    for (const key of this.#known) {
      if (!key.name.equals(name)) continue
      return [key === current ? KNOWN : KNOWN_BUT_OLD, key.hmac, key.aes]
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

import { randomBytes } from 'node:crypto'

/** 16 octets of name, 16 for HMAC-SHA-256, 16 for AES-128-CBC: as `ticketKeys` of node:tls has them. */
export const TICKET_KEY_BYTES = 48
/** next, current, and two that have been current */
const RING_KEYS = 4

/** Keys of session tickets as the workers use them (RFC 5077 §4, RFC 8446 §4.6.1). */
export interface TicketKeySet {
  /** New tickets are sealed with it. */
  readonly current: Uint8Array
  /** Tickets of these are known as well: former keys, and the one that others may use already. */
  readonly others: readonly Uint8Array[]
}

/**
 * The keys of session tickets over time. The next one is known to all for a whole rotation before it seals anything, so
 * that machines need not change over at one moment; a former one opens tickets for two rotations and is then forgotten:
 * nobody can read recorded sessions of before that, whatever he gets hold of.
 */
export interface TicketRing {
  /** Counts rotations. */
  readonly generation: number
  /** Since when the current key seals, epoch ms. */
  readonly since: number
  /** next, current, then the former ones, latest first. */
  readonly keys: readonly Buffer[]
}

export function newTicketRing(now: number): TicketRing {
  return { generation: 1, since: now, keys: [newKey(), newKey()] }
}

/** The ring as it has to be at `now`: the same one until a rotation is due. */
export function rotatedRing(ring: TicketRing, now: number, rotationMs: number): TicketRing {
  // A clock that was set back: the key must not stay for as long as that.
  const since = ring.since > now + rotationMs ? now : ring.since
  const rotations = Math.floor((now - since) / rotationMs)
  if (rotations <= 0) return since === ring.since ? ring : { ...ring, since }
  let { keys } = ring
  for (let step = 0; step < Math.min(rotations, RING_KEYS); step++) {
    keys = [newKey(), ...keys].slice(0, RING_KEYS)
  }
  return { generation: ring.generation + rotations, since: since + rotations * rotationMs, keys }
}

export function ticketKeySet({ keys }: TicketRing): TicketKeySet {
  const [next, current, ...former] = keys
  return { current, others: [next, ...former] }
}

export function serialiseRing({ generation, since, keys }: TicketRing): string {
  return JSON.stringify({ generation, since, keys: keys.map((key) => key.toString('base64')) })
}

/** null when it is no ring. */
export function parseRing(text: string): TicketRing | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { generation, since, keys } = value as Record<string, unknown>
  if (!Number.isSafeInteger(generation) || !Number.isSafeInteger(since)) return null
  if (!Array.isArray(keys) || keys.length < 2 || keys.length > RING_KEYS) return null
  const octets = keys.map((key) => Buffer.from(String(key), 'base64'))
  if (octets.some((key) => key.length !== TICKET_KEY_BYTES)) return null
  // Both have just been found to be integers.
  return { generation: generation as number, since: since as number, keys: octets }
}

function newKey(): Buffer {
  return randomBytes(TICKET_KEY_BYTES)
}

import { createHash, timingSafeEqual } from 'node:crypto'
import { BlockList, isIPv6 } from 'node:net'
import type { AdminRole, AdminTokenConfig } from '../config/config.ts'

/** Who asks, as far as the admin API cares. */
export interface Caller {
  readonly name: string
  readonly role: AdminRole
  /** Sees this tenant alone; undefined = everything. */
  readonly tenant: string | undefined
}

export type Verdict =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly status: 401 | 403 | 429; readonly detail: string }

const MAX_FAILURES_PER_WINDOW = 30
const FAILURE_WINDOW_MS = 60_000
/** Addresses whose failures are remembered; a flood of others pushes the oldest out. */
const MAX_ADDRESSES = 4096

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Bearer tokens (RFC 6750 §2.1), or loopback alone where there are none. */
export class Authentication {
  readonly #failures = new Map<string, { count: number; windowEndsAt: number }>()
  readonly #now: () => number

  /** `now` in ms, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  check(
    tokens: readonly AdminTokenConfig[],
    authorization: string | undefined,
    peerAddress: string,
  ): Verdict {
    if (tokens.length === 0) return withoutTokens(peerAddress)
    const secret = /^Bearer +([\x21-\x7e]{1,1024})$/i.exec(authorization ?? '')?.[1]
    // A right token passes whatever its neighbours behind the same address have been trying.
    const token = secret === undefined ? undefined : matchingToken(tokens, secret)
    if (token !== undefined) return { ok: true, caller: token }
    if (this.#isTooMany(peerAddress)) {
      return { ok: false, status: 429, detail: 'Too many attempts without a valid token.' }
    }
    const detail = "Send 'Authorization: Bearer <token>' with one of the tokens of admin.tokens."
    return { ok: false, status: 401, detail }
  }

  #isTooMany(address: string): boolean {
    const now = this.#now()
    const known = this.#failures.get(address)
    if (known !== undefined && known.windowEndsAt > now) {
      known.count++
      return known.count > MAX_FAILURES_PER_WINDOW
    }
    this.#failures.delete(address)
    if (this.#failures.size >= MAX_ADDRESSES) {
      // Maps keep the order of insertion: the first is the oldest.
      for (const oldest of this.#failures.keys()) {
        this.#failures.delete(oldest)
        break
      }
    }
    this.#failures.set(address, { count: 1, windowEndsAt: now + FAILURE_WINDOW_MS })
    return false
  }
}

const REACHES: Readonly<Record<AdminRole, readonly AdminRole[]>> = {
  read: ['read'],
  purge: ['read', 'purge'],
  certificates: ['read', 'certificates'],
  admin: ['read', 'purge', 'certificates', 'admin'],
}

export function roleReaches(role: AdminRole, needed: AdminRole): boolean {
  return REACHES[role].includes(needed)
}

export function isLoopback(address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return LOOPBACK.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
}

function withoutTokens(peerAddress: string): Verdict {
  if (isLoopback(peerAddress)) {
    return { ok: true, caller: { name: 'loopback', role: 'admin', tenant: undefined } }
  }
  const detail = 'Without admin.tokens only this machine is let in. Configure a token.'
  return { ok: false, status: 403, detail }
}

/** Hashes are compared, all of them: neither length nor content nor position can be told from the time it takes. */
function matchingToken(
  tokens: readonly AdminTokenConfig[],
  secret: string,
): AdminTokenConfig | undefined {
  const hash = createHash('sha256').update(secret).digest()
  let match: AdminTokenConfig | undefined
  for (const token of tokens) {
    if (timingSafeEqual(hash, Buffer.from(token.secretSha256, 'hex'))) match = token
  }
  return match
}

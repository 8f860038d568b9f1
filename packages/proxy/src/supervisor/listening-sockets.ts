import net from 'node:net'
import { networkInterfaces } from 'node:os'
import { formatAddress } from '../config/address.ts'
import type { ListenConfig, ListenerConfig } from '../config/config.ts'
import type { ListenOptions, WorkerListener } from './messages.ts'

/**
 * One listening socket per address and worker slot, all of an address sharing its port by SO_REUSEPORT so that the
 * kernel spreads connections. The primary makes them and keeps a reference: a worker that dies or is replaced loses
 * no connection that waits in the queue of its socket, its successor finds them there.
 *
 * Node has no public way to make a listening socket without accepting from it, hence `net._createServerHandle`,
 * which node:cluster itself uses. Where it is missing, workers listen by themselves, and waiting connections of a
 * dead worker are lost.
 */

/** The part of Node's internal TCP handle that is used here. */
export interface SocketHandle {
  getsockname(out: { address?: string; port?: number }): number
  close(): void
}

type CreateServerHandle = (
  address: string,
  port: number,
  addressType: 4 | 6,
  fd: undefined,
  flags: number,
) => SocketHandle | number

// From uv.h: UV_TCP_IPV6ONLY and UV_TCP_REUSEPORT.
const IPV6_ONLY = 1
const REUSE_PORT = 2

/** What a worker is told to listen with. */
export interface SlotSocket {
  readonly listener: WorkerListener
  readonly handle: SocketHandle | undefined
  /** Used when there is no handle. */
  readonly options: ListenOptions
}

interface Place {
  /** What the configuration asked for; differs from `address` for port 0 only. */
  readonly requested: string
  readonly kind: 'http' | 'https'
  address: string
  readonly proxyProtocol: boolean
  readonly host: string
  /** 0 until the first slot has got its port. */
  port: number
  /** The second family of `localhost` or of every address: done without when the machine lacks it. */
  readonly optional: boolean
  readonly handles: (SocketHandle | undefined)[]
  /** Closed while the worker of the slot waits out a crash loop. */
  readonly closedSlots: Set<number>
}

export class ListeningSockets {
  readonly #slots: number
  readonly #createHandle: CreateServerHandle | undefined
  #places: Place[] = []

  constructor(slots: number, createHandle = internalCreateHandle()) {
    this.#slots = slots
    this.#createHandle = createHandle
  }

  /** False when workers have to listen by themselves. */
  get keepsConnections(): boolean {
    return this.#createHandle !== undefined
  }

  /** Addresses in use, with the real port where 0 was asked for. */
  get listeners(): readonly WorkerListener[] {
    return this.#places
  }

  /** Opens what is new and says what is no longer wanted; throws, with nothing changed, when one cannot be had. */
  open(listen: ListenConfig): { added: WorkerListener[]; removed: WorkerListener[] } {
    const wanted = wantedPlaces(listen)
    const added: Place[] = []
    const kept = new Set<Place>()
    try {
      for (const place of wanted) {
        const same = this.#places.find((open) => open.requested === place.requested)
        // Changed in kind only: workers let go of it and take it again, the socket stays.
        if (same !== undefined && isSame(same, place)) kept.add(same)
        else if (same !== undefined) {
          const { address, port, handles, closedSlots } = same
          added.push({ ...place, address, port, handles, closedSlots })
        } else if (this.#openPlace(place)) added.push(place)
      }
    } catch (error) {
      for (const place of added) {
        if (!this.#places.some((open) => open.handles === place.handles)) closePlace(place)
      }
      throw error
    }
    const removed = this.#places.filter((place) => !kept.has(place))
    this.#places = [...kept, ...added]
    this.#retired = removed.filter((old) => !added.some((place) => place.handles === old.handles))
    return { added, removed }
  }

  #retired: Place[] = []

  /** Closes what the last `open` removed, once workers have let go of it. */
  closeRemoved(): void {
    for (const place of this.#retired) closePlace(place)
    this.#retired = []
  }

  forSlot(slot: number): SlotSocket[] {
    return this.#places.map((place) => this.#slotSocket(place, slot))
  }

  forListener(slot: number, listener: WorkerListener): SlotSocket | undefined {
    const place = this.#places.find((open) => open.address === listener.address)
    return place === undefined ? undefined : this.#slotSocket(place, slot)
  }

  /** The kernel stops giving connections to this slot, whose worker cannot take them. */
  closeSlot(slot: number): void {
    for (const place of this.#places) {
      place.handles[slot]?.close()
      place.handles[slot] = undefined
      place.closedSlots.add(slot)
    }
  }

  /** Before the worker of a slot starts. Throws when the port has been taken by someone else meanwhile. */
  reopenSlot(slot: number): void {
    for (const place of this.#places) {
      if (!place.closedSlots.delete(slot)) continue
      place.handles[slot] = this.#createOne(place)
    }
  }

  closeAll(): void {
    this.closeRemoved()
    for (const place of this.#places) closePlace(place)
  }

  #slotSocket(place: Place, slot: number): SlotSocket {
    const { kind, address, proxyProtocol, host, port } = place
    return {
      listener: { kind, address, proxyProtocol },
      handle: place.handles[slot],
      options: { host, port, ipv6Only: host.includes(':'), reusePort: true },
    }
  }

  /** False when the address is of a family this machine does not have and was not asked for by name. */
  #openPlace(place: Place): boolean {
    for (let slot = 0; slot < this.#slots; slot++) {
      try {
        // Without SO_REUSEPORT once: else a second proxy would share the port of the first and take half of its
        // connections.
        if (slot === 0 && place.port !== 0) this.#createOne(place, 0)?.close()
        place.handles[slot] = this.#createOne(place)
      } catch (error) {
        closePlace(place)
        if (place.optional && error instanceof ListenError && error.familyMissing) return false
        throw error
      }
    }
    return true
  }

  #createOne(place: Place, sharing = REUSE_PORT): SocketHandle | undefined {
    if (this.#createHandle === undefined) return undefined
    const version = place.host.includes(':') ? 6 : 4
    const flags = sharing | (version === 6 ? IPV6_ONLY : 0)
    const handle = this.#createHandle(place.host, place.port, version, undefined, flags)
    if (typeof handle === 'number') throw new ListenError(place.address, handle)
    // libuv keeps EADDRINUSE of bind to itself until somebody asks; a worker that gets such a socket would listen
    // on some free port without a word.
    const name: { port?: number } = {}
    const errno = handle.getsockname(name)
    if (errno < 0) {
      handle.close()
      throw new ListenError(place.address, errno)
    }
    if (place.port === 0) {
      place.port = name.port ?? 0
      place.address = formatAddress(place.host, place.port)
    }
    return handle
  }
}

/** An address that cannot be listened on, in words that say what to do. */
export class ListenError extends Error {
  readonly code: string
  readonly familyMissing: boolean

  constructor(address: string, errno: number) {
    const code = ERRNO_NAMES.get(errno) ?? `errno ${errno}`
    super(`Cannot listen on ${address} (${code}). ${CURES.get(code) ?? 'Is the address right?'}`)
    this.name = 'ListenError'
    this.code = code
    this.familyMissing = code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL'
  }
}

const ERRNO_NAMES = new Map([
  [-13, 'EACCES'],
  [-22, 'EINVAL'],
  [-24, 'EMFILE'],
  [-97, 'EAFNOSUPPORT'],
  [-98, 'EADDRINUSE'],
  [-99, 'EADDRNOTAVAIL'],
])

const CURES = new Map([
  ['EADDRINUSE', "Another process has it: 'ss -ltnp' shows which. Stop it or choose another port."],
  [
    'EACCES',
    'Ports below 1024 need root or CAP_NET_BIND_SERVICE. Start as root with the option user, or choose a higher port.',
  ],
  ['EADDRNOTAVAIL', "This machine does not have that address: 'ip address' shows those it has."],
  ['EAFNOSUPPORT', 'This machine has no IPv6.'],
  ['EMFILE', "Too many open files: raise the limit, 'ulimit -n'."],
])

function wantedPlaces(listen: ListenConfig): Place[] {
  const of = (kind: 'http' | 'https') => (listener: ListenerConfig, position: number) =>
    hostsOf(listener).map((host, index): Place => {
      const address = formatAddress(host, listener.port)
      return {
        // Port 0 may be asked for several times, each time another.
        requested: listener.port === 0 ? `${kind} ${position} ${address}` : address,
        kind,
        address,
        proxyProtocol: listener.proxyProtocol,
        host,
        port: listener.port,
        optional: index > 0,
        handles: [],
        closedSlots: new Set<number>(),
      }
    })
  return [...listen.http.flatMap(of('http')), ...listen.https.flatMap(of('https'))]
}

/** `localhost` and '' stand for one address of each family that the machine has; IPv4 comes first. */
export function hostsOf(listener: ListenerConfig): string[] {
  const { host } = listener
  if (host !== '' && host !== 'localhost') return [host]
  const ipv4 = host === '' ? '0.0.0.0' : '127.0.0.1'
  const ipv6 = host === '' ? '::' : '::1'
  return hasIpv6() ? [ipv4, ipv6] : [ipv4]
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some((address) => address.family === 'IPv6'),
  )
}

function isSame(one: WorkerListener, other: WorkerListener): boolean {
  return one.kind === other.kind && one.proxyProtocol === other.proxyProtocol
}

function closePlace(place: Place): void {
  for (const handle of place.handles) handle?.close()
  place.handles.length = 0
}

function internalCreateHandle(): CreateServerHandle | undefined {
  // Not in the public types: see the head of this file.
  const create = (net as unknown as { _createServerHandle?: CreateServerHandle })
    ._createServerHandle
  return typeof create === 'function' ? create : undefined
}

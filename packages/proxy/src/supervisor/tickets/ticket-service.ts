import { join } from 'node:path'
import {
  newTicketRing,
  rotatedRing,
  type TicketKeySet,
  type TicketRing,
  ticketKeySet,
} from '@larder/certs'
import type { Config } from '../../config/config.ts'
import type { Logger } from '../../observability/logger.ts'
import { type SharedRing, SharedTickets } from './shared-tickets.ts'
import { TicketFile } from './ticket-file.ts'

export interface TicketServiceOptions {
  readonly config: Config
  readonly logger: Logger
  readonly stateFolder: string
  /** The keys have changed: for all workers. */
  onKeys(keys: TicketKeySet): void
}

/** How often a rotation is looked for, as a part of it; the next key is known for a whole one. */
const LOOKS_PER_ROTATION = 8
const MAX_LOOK_MS = 10_000
/** The start does not wait for Redis longer than this. */
const CONNECT_MS = 1000
/** Keys that nobody rotates any more leave Redis after so many rotations. */
const KEPT_ROTATIONS = 4

/**
 * The keys of session tickets in the primary: alike for all workers, and with Redis and a key for all machines of the
 * PoP. While Redis is away every machine goes on to the next key, which all of them know, at the time that all of them
 * know; who comes back first says how it goes on.
 */
export class TicketService {
  readonly #options: TicketServiceOptions
  readonly #file: TicketFile | null
  readonly #shared: SharedTickets | null
  #rotationMs: number
  #ring: TicketRing
  /** What lay in Redis when we last looked. */
  #text: string | null = null
  #isTold = false
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: TicketServiceOptions) {
    const { config, stateFolder, logger } = options
    const { redis, certificates } = config
    this.#options = options
    this.#rotationMs = config.tls.ticketRotationMs
    this.#ring = newTicketRing(Date.now())
    const keys = certificates.sealKeys.map((key) => Buffer.from(key, 'hex'))
    this.#shared = redis === undefined || keys.length === 0 ? null : new SharedTickets(redis, keys)
    this.#file =
      this.#shared === null ? new TicketFile(join(stateFolder, 'session-ticket-keys')) : null
    if (redis !== undefined && keys.length === 0 && config.listen.https.length > 0) {
      logger.info(
        'session tickets are for this machine alone: with certificates.keyFile they would be for the whole PoP',
      )
    }
  }

  get keys(): TicketKeySet {
    return ticketKeySet(this.#ring)
  }

  /** Resolves when the keys are those that others have, as far as that can be known by now. */
  async start(): Promise<void> {
    if (this.#file !== null) {
      try {
        const kept = this.#file.read()
        if (kept !== null) this.#ring = kept
      } catch (error) {
        this.#tell(error, 'the kept keys of session tickets cannot be read: there are new ones')
      }
    }
    await this.#shared?.connected(CONNECT_MS)
    await this.#look()
    this.#write()
    this.#lookLater()
  }

  configure(config: Config): void {
    if (config.tls.ticketRotationMs === this.#rotationMs) return
    this.#rotationMs = config.tls.ticketRotationMs
    this.#lookLater()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#shared?.close()
  }

  #lookLater(): void {
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    const lookMs = Math.min(this.#rotationMs / LOOKS_PER_ROTATION, MAX_LOOK_MS)
    this.#timer = setTimeout(() => void this.#look().then(() => this.#lookLater()), lookMs)
  }

  async #look(): Promise<void> {
    const ring =
      this.#shared === null ? this.#rotated(this.#ring) : await this.#ringOfAll(this.#shared)
    if (ring === this.#ring || this.#isStopped) return
    this.#ring = ring
    this.#write()
    this.#options.onKeys(this.keys)
    this.#options.logger.debug({ generation: ring.generation }, 'keys of session tickets')
  }

  #rotated(ring: TicketRing): TicketRing {
    return rotatedRing(ring, Date.now(), this.#rotationMs)
  }

  /** What the others have, brought up to date; our own while nobody can be asked. */
  async #ringOfAll(shared: SharedTickets): Promise<TicketRing> {
    try {
      const found = await shared.read()
      const ring = await this.#agreed(shared, found)
      this.#isTold = false
      return ring
    } catch (error) {
      this.#tell(error, 'keys of session tickets are not shared: Redis cannot be asked')
      return this.#rotated(this.#ring)
    }
  }

  async #agreed(shared: SharedTickets, found: SharedRing): Promise<TicketRing> {
    // Nobody can: it is left to expire.
    if (found.ring === null && found.text !== '') throw new Error('What lies there is damaged.')
    // Nothing has come since we looked: ours is that one, or has gone on from it.
    const isOurs =
      this.#text === found.text && this.#ring.generation >= (found.ring?.generation ?? 0)
    const known = isOurs || found.ring === null ? this.#ring : found.ring
    const ring = this.#rotated(known)
    if (found.ring !== null && ring.generation === found.ring.generation) {
      this.#text = found.text
      // One object as long as nothing changes.
      return isOurs ? this.#ring : ring
    }
    const after = await shared.replace(found.text, ring, KEPT_ROTATIONS * this.#rotationMs)
    this.#text = after.text
    if (after.ring === null) throw new Error('What lies there is damaged.')
    // Someone else was first, or it is ours.
    return after.ring
  }

  #write(): void {
    if (this.#file === null) return
    try {
      this.#file.write(this.#ring)
    } catch (error) {
      this.#tell(error, 'keys of session tickets are not kept: a restart makes all sessions anew')
    }
  }

  /** Once, until it is well again. */
  #tell(err: unknown, what: string): void {
    if (!this.#isTold) this.#options.logger.warn({ err }, what)
    this.#isTold = true
  }
}

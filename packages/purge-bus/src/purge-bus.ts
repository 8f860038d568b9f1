import type { NumberedPurge, PurgeMessage } from './purge-message.ts'
import type { PurgeTable } from './purge-table.ts'
import type { Receipt } from './receipt.ts'

/** What the bus tells, always in this order of things: purges and floors as they are to be applied by every worker. */
export interface PurgeBusEvents {
  /** Rising, and without a gap that matters. The bus's own table has them already. */
  onPurges(purges: readonly NumberedPurge[]): void
  /** Everything with a lower number counts as purged, because of this. */
  onFloor(number: number, reason: string): void
  onState(state: BusState): void
  /** A message that was not understood (`text`), or trouble of the bus itself (`text` is then ''). */
  onError(text: string, reason: string): void
}

export type BusState =
  | { readonly kind: 'connected' }
  /** Hears the bus again, and has not yet read all that it missed. */
  | { readonly kind: 'catching-up'; readonly sinceAt: number }
  /** No answer for 2 s. `sinceAt`: epoch ms of the last one. */
  | { readonly kind: 'cut-off'; readonly sinceAt: number }

export interface BusStatus {
  readonly state: BusState
  /** The highest number applied here. */
  readonly number: number
  /** Purges applied here that wait for Redis. */
  readonly pending: number
  /**
   * The whole number after which the first of them has its place here; null when there is none. What another machine has
   * stored under a higher number may be older than they are.
   */
  readonly pendingAfter: number | null
  readonly deadLetters: number
  readonly scheduled: number
  readonly machines: number
  /** False while a message that someone publishes in Redis without a number would be missed here. */
  readonly isListening: boolean
}

export interface DeadLetter {
  readonly id: string
  readonly message: PurgeMessage
  /** Epoch ms. */
  readonly publishedAt: number
}

export interface PublishOptions {
  /** How long to wait for every worker, ms; 0 (the default) = not at all. */
  readonly waitMs?: number
}

/**
 * The purge bus of one machine; it lives in the primary, and its workers apply what it tells them, in that order, and
 * say how far they are.
 *
 * A number with a fraction is that of a purge which Redis has not numbered yet: it has its place after the whole
 * number, here and nowhere else. What goes into a tier that machines share carries `Math.floor` of its number.
 */
export interface PurgeBus {
  /** All that has been told so far; `serialise` it for a new worker, in the turn in which the worker starts to listen. */
  readonly table: PurgeTable
  readonly state: BusState
  status(): BusStatus
  /** Resolves when the bus knows all it can know: caught up, or cut off. */
  start(): Promise<void>
  /**
   * Resolves when the purge cannot get lost any more, and, with `waitMs`, when every worker has applied it or the time
   * is over. Rejects with a `PurgeOverloadError` when too many are under way.
   */
  publish(message: PurgeMessage, options?: PublishOptions): Promise<Receipt>
  /** Null when nothing is known of it (any more). */
  receipt(id: string): Promise<Receipt | null>
  /** From now on every receipt waits for this worker. `number`: that of the table it was given. */
  addWorker(worker: string, number: number): void
  /** It has ended, or is not waited for any more. */
  removeWorker(worker: string): void
  /** The worker has applied everything up to this number. */
  acknowledge(worker: string, number: number): void
  deadLetters(): readonly DeadLetter[]
  /** Publishes them again, all of them or these; resolves to how many. */
  replayDeadLetters(ids?: readonly string[]): Promise<number>
  stop(): Promise<void>
}

/** Publish again later; nothing of this purge was kept. */
export class PurgeOverloadError extends Error {
  readonly code = 'PURGE_OVERLOAD'
}

/** The purge is in force, but could not be written down: it may be forgotten at the next start. */
export class PurgeNotKeptError extends Error {
  readonly code = 'PURGE_NOT_KEPT'
}

import type { PurgeBusEvents } from '../purge-bus.ts'
import type { PurgeTableOptions } from '../purge-table.ts'
import type { RedisPlace } from './redis-place.ts'

export interface RedisBusOptions {
  readonly redis: RedisPlace
  /** Of keys and channels: 'larder:' leads to the channel 'larder:purge'. */
  readonly prefix: string
  /** What this machine knows; it belongs beside what is stored on disk, so that both are lost together or not at all. */
  readonly folder: string
  /** This machine's name, which no other has. */
  readonly machine: string
  readonly table: PurgeTableOptions
  readonly events: PurgeBusEvents
  /** Purges that the log keeps, about; default 100,000. */
  readonly maxLog?: number
  /** Purges that wait for Redis's answer; default 131,072. */
  readonly maxQueued?: number
  /** Purges that wait for Redis to come back; default 100,000. What is beyond becomes a dead letter. */
  readonly maxPending?: number
  /** How long a purge may wait for Redis until it becomes a dead letter; default 24 h. */
  readonly maxPendingAgeMs?: number
  /** Default 10,000. */
  readonly maxDeadLetters?: number
  /** Default 10,000. */
  readonly maxScheduled?: number
  /** Default 100,000. */
  readonly maxReferences?: number
  /** Default 500. */
  readonly beatEveryMs?: number
  /** Without an answer for so long the machine is cut off; default 2 s. */
  readonly cutOffAfterMs?: number
  /** How long no numbers are given after Redis may have lost some; default 1 s. */
  readonly settleMs?: number
  /** Epoch ms. */
  readonly now?: () => number
}

export const DEFAULTS = {
  maxLog: 100_000,
  maxQueued: 131_072,
  maxPending: 100_000,
  maxPendingAgeMs: 24 * 3_600_000,
  maxDeadLetters: 10_000,
  maxScheduled: 10_000,
  maxReferences: 100_000,
  beatEveryMs: 500,
  cutOffAfterMs: 2_000,
  settleMs: 1_000,
  now: Date.now,
}

export type FullOptions = RedisBusOptions & typeof DEFAULTS

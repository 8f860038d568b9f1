import type { BusState, NumberedPurge, PurgeTable, StoredFacts } from '@larder/purge-bus'
import type { MemoryTier } from '../storage/memory-tier.ts'
import type { StoredMetadata, StoredResponse } from '../storage/stored-response.ts'
import { PurgeTimes } from './purge-times.ts'

/** Without a word from the primary for so long, the worker is cut off. */
const MAX_SILENCE_MS = 2_000
/** Another worker of the machine hears of a purge within milliseconds of this one. */
const MAX_BEHIND_MS = 500

/** What a stored response is worth by the purges that are in force here. */
export type Judgement = 'valid' | 'stale' | 'purged'

export interface PurgesOptions {
  readonly table: PurgeTable
  readonly whenCutOff: 'serve' | 'revalidate'
  /** Nobody sends purges, so none can be missed. */
  readonly isAlone: boolean
  /** Epoch ms. */
  now(): number
}

/**
 * The purges that this worker has applied. Nothing is deleted when one comes: every stored response carries the number
 * that was in force when its fetch began, and is judged when it is looked up.
 */
export class Purges {
  readonly table: PurgeTable
  readonly #whenCutOff: 'serve' | 'revalidate'
  /** null when nobody sends purges, so that none can be missed. */
  readonly #silence: NodeJS.Timeout | null
  readonly #now: () => number
  readonly #times: PurgeTimes
  #waiting: { readonly number: number; readonly resolve: (reached: boolean) => void }[] = []
  #isCutOff = false
  /** The whole number before the first purge that only this machine knows; null when there is none. */
  #pendingAfter: number | null

  constructor(options: PurgesOptions) {
    this.table = options.table
    this.#whenCutOff = options.whenCutOff
    this.#silence = options.isAlone ? null : this.#listen()
    this.#now = options.now
    this.#times = new PurgeTimes(options.now())
    // Until the primary says otherwise.
    this.#pendingAfter = options.isAlone ? null : 0
  }

  /** What a fetch that starts now has to note. */
  get number(): number {
    return this.table.number
  }

  /** True while a purge may have been sent that this worker has not heard of. */
  get isCutOff(): boolean {
    return this.#isCutOff
  }

  /** Nothing stored may be used without asking its origin. */
  get mustRevalidate(): boolean {
    return this.#isCutOff && this.#whenCutOff === 'revalidate'
  }

  /** The primary lives, and knows this of the bus (`BusStatus`). */
  heard(state: BusState['kind'], pendingAfter: number | null): void {
    this.#isCutOff = state !== 'connected'
    this.#pendingAfter = pendingAfter
    this.#silence?.refresh()
  }

  #listen(): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#isCutOff = true
    }, MAX_SILENCE_MS)
    return timer.unref()
  }

  apply(purges: readonly NumberedPurge[]): void {
    const number = purges[0]?.number ?? 0
    if (!Number.isInteger(number)) this.#pendingAfter ??= Math.floor(number)
    this.table.apply(purges)
    this.#applied()
  }

  raiseFloor(number: number): void {
    this.table.raiseFloor(number)
    this.#applied()
  }

  #applied(): void {
    const { number } = this.table
    this.#times.note(number, this.#now())
    const reached = this.#waiting.filter((waiting) => waiting.number <= number)
    if (reached.length === 0) return
    this.#waiting = this.#waiting.filter((waiting) => waiting.number > number)
    for (const { resolve } of reached) resolve(true)
  }

  /** Resolves when this worker is as far as another one; to false when that takes too long. */
  whenApplied(number: number): Promise<boolean> | true {
    if (number <= this.number) return true
    return new Promise((resolve) => {
      const waiting = { number, resolve }
      this.#waiting.push(waiting)
      setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting)
        resolve(false)
      }, MAX_BEHIND_MS)
    })
  }

  judge(stored: StoredMetadata): Judgement {
    const validity = this.table.validity(factsOf(stored))
    return validity === 'soft-purged' ? 'stale' : validity
  }

  /** `judge(…) === 'valid'`, for the synchronous door: nothing to do while no purge has come since the last time. */
  isValid(stored: StoredResponse): boolean {
    const { version } = this.table
    if (stored.judgedVersion === version) return true
    if (this.judge(stored) !== 'valid') return false
    stored.judgedVersion = version
    return true
  }

  /**
   * Whether a stored response of a tier that machines share has a number which says nothing of the purges in force here:
   * it is from beyond what this worker has heard, or from beyond the place of purges that wait for theirs. Not to be used
   * now; once those are in the sequence, it can be judged.
   */
  isBeyond({ purgeSequence }: StoredMetadata): boolean {
    return purgeSequence > Math.min(this.number, this.#pendingAfter ?? Number.POSITIVE_INFINITY)
  }

  /** Nothing is known of the answer but its key: may it be older than a purge that would match it? */
  mayCover(key: string, number: number): boolean {
    return this.table.mayCover({ tenant: tenantOf(key), key, number })
  }

  /** What was purged softly, as it is from then on: stale since the purge. */
  staleMetadata(stored: StoredMetadata): StoredMetadata {
    const purgedAt = this.#times.of(this.table.softNumber(factsOf(stored)))
    return {
      ...metadataOf(stored),
      freshUntilAt: Math.min(stored.freshUntilAt, purgedAt),
      purgeSequence: this.number,
    }
  }

  /** Takes what is purged of a key out of memory, and makes stale what is to be; true when something was purged. */
  weed(tier: MemoryTier, key: string): boolean {
    let purged = false
    let stored = tier.lookUp(key)
    while (stored !== null) {
      const { next } = stored
      if (!this.isValid(stored)) {
        if (this.judge(stored) === 'stale') tier.freshen(stored, this.staleMetadata(stored))
        else {
          tier.remove(stored)
          purged = true
        }
      }
      stored = next
    }
    return purged
  }
}

export function factsOf({ key, tags, purgeSequence }: StoredMetadata): StoredFacts {
  return { tenant: tenantOf(key), key, tags, number: purgeSequence }
}

/** The key begins with it (`pipeline/cache-key.ts`). */
function tenantOf(key: string): string {
  return key.slice(0, key.indexOf('\n'))
}

function metadataOf(stored: StoredMetadata): StoredMetadata {
  const { key, keyExtra, variant, status, fields, responseAt, ageBaseAt } = stored
  const { freshUntilAt, policy, part, tags, purgeSequence } = stored
  return {
    ...{ key, keyExtra, variant, status, fields, responseAt, ageBaseAt },
    ...{ freshUntilAt, policy, part, tags, purgeSequence },
  }
}

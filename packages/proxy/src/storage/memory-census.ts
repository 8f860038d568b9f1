import { hashOf } from './content-hash.ts'
import type { MemoryTier } from './memory-tier.ts'
import { slotOf } from './record.ts'
import type { StoredResponse } from './stored-response.ts'
import { type StoredTally, TallyBuilder, tallyName } from './stored-tally.ts'

/** What a key of the memory tier holds, and how much it is used. */
export interface HotKey {
  /** Primary cache key. */
  readonly key: string
  /** Since it was stored or validated last, all variants together. */
  readonly uses: number
  readonly responses: number
  readonly bytes: number
}

export interface Census {
  readonly responses: number
  readonly bytes: number
  /** Most used first. */
  readonly hottest: readonly HotKey[]
  /** False when the time was over before the end of the walk. */
  readonly complete: boolean
  /** One per worker when it was asked for; else none. */
  readonly tallies: readonly StoredTally[]
}

export interface CensusOptions {
  /** How many of the hottest keys. */
  readonly top: number
  readonly counts: (stored: StoredResponse) => boolean
  /** Names what is counted, so that it counts once wherever else it is. */
  readonly named: boolean
}

/** The event loop is held for so long at a time. */
const SLICE_MS = 3
/** Stored responses between two looks at the time. */
const STEP = 64
const MAX_WALK_MS = 5_000
/** Slices of a large response have keys of their own, behind a second line feed. */
const KEY_LINES = 2

/** Walks the memory tier in slices of a few ms; what comes or goes meanwhile may be counted or not. */
export async function takeCensus(tier: MemoryTier, options: CensusOptions): Promise<Census> {
  const hottest = new Hottest(options.top)
  const tally = options.named ? new TallyBuilder() : null
  const tallies = tally === null ? [] : [tally]
  const startedAt = performance.now()
  let sliceEndsAt = startedAt + SLICE_MS
  let responses = 0
  let bytes = 0
  let step = 0
  for (const chain of tier.chains()) {
    const held = countChain(chain, options.counts, tally)
    responses += held.responses
    bytes += held.bytes
    if (held.responses > 0 && chain.key.split('\n', KEY_LINES + 1).length === KEY_LINES) {
      hottest.add({ key: chain.key, ...held })
    }
    if (++step % STEP !== 0 || performance.now() < sliceEndsAt) continue
    await new Promise((resolve) => setImmediate(resolve))
    const now = performance.now()
    if (now - startedAt > MAX_WALK_MS) {
      return { responses, bytes, hottest: hottest.list(), complete: false, tallies }
    }
    sliceEndsAt = now + SLICE_MS
  }
  return { responses, bytes, hottest: hottest.list(), complete: true, tallies }
}

function countChain(
  chain: StoredResponse,
  counts: CensusOptions['counts'],
  tally: TallyBuilder | null,
) {
  let responses = 0
  let bytes = 0
  let uses = 0
  for (let stored: StoredResponse | null = chain; stored !== null; stored = stored.next) {
    if (!counts(stored)) continue
    responses++
    bytes += stored.byteLength
    uses += stored.uses
    tally?.add(tallyName(hashOf(stored.key), slotOf(stored)), stored.body.length)
  }
  return { responses, bytes, uses }
}

/** The most used of many keys, in bounded space. */
class Hottest {
  readonly #top: number
  #keys: HotKey[] = []

  constructor(top: number) {
    this.#top = top
  }

  add(key: HotKey): void {
    this.#keys.push(key)
    if (this.#keys.length > 2 * this.#top + 1000) this.#keys = this.list()
  }

  list(): HotKey[] {
    return this.#keys.sort((a, b) => b.uses - a.uses).slice(0, this.#top)
  }
}

/** Of several workers: a key that more than one holds is one key. */
export function mergeCensuses(censuses: readonly (Census | null)[], top: number): Census {
  const byKey = new Map<string, HotKey>()
  let responses = 0
  let bytes = 0
  for (const census of censuses) {
    responses += census?.responses ?? 0
    bytes += census?.bytes ?? 0
    for (const one of census?.hottest ?? []) {
      const held = byKey.get(one.key)
      byKey.set(
        one.key,
        held === undefined
          ? one
          : {
              key: one.key,
              uses: held.uses + one.uses,
              responses: held.responses + one.responses,
              bytes: held.bytes + one.bytes,
            },
      )
    }
  }
  const complete = censuses.every((one) => one?.complete === true)
  const tallies = censuses.flatMap((one) => one?.tallies ?? [])
  const hottest = [...byKey.values()].sort((a, b) => b.uses - a.uses).slice(0, top)
  return { responses, bytes, hottest, complete, tallies }
}

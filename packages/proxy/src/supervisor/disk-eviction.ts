import { type ChildProcess, fork } from 'node:child_process'
import { chownSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import { type EvictorCounts, NOTHING_EVICTED } from '../storage/disk/evictor.ts'
import { BackOff } from './back-off.ts'
import { compileCacheFolder } from './compile-cache.ts'
import type {
  DiskCensusQuery,
  EvictionSettings,
  EvictorCensus,
  FromEvictor,
  Identity,
  ToEvictor,
} from './messages.ts'

const PROCESS = new URL('./evictor-process.ts', import.meta.url)
/** Hits that wait for the process's next round: pairs of segment and offset. */
const MAX_GATHERED_HITS = 50_000
/** A walk ends by itself after half of this. */
const CENSUS_TIMEOUT_MS = 10_000

export interface DiskEvictionOptions {
  readonly disk: NonNullable<Config['disk']>
  /** Who the workers become. */
  readonly identity: Identity | undefined
  readonly logger: Logger
  /** The process has ended without being told to. */
  onEnded(signal: string | null): void
}

/**
 * The primary's part of the disk tier: its folder, owned by whoever the workers become, and the process that holds it
 * to its size, replaced when it ends.
 */
export class DiskEviction {
  readonly #options: DiskEvictionOptions
  readonly #settings: EvictionSettings
  readonly #backOff = new BackOff()
  #child: ChildProcess | null = null
  #retryTimer: NodeJS.Timeout | undefined
  #isStopped = false
  #hits: number[] = []
  /** Of the processes before this one. */
  #before: EvictorCounts = NOTHING_EVICTED
  #current: EvictorCounts = NOTHING_EVICTED
  #told = ''
  readonly #censuses = new Map<number, (census: EvictorCensus | null) => void>()
  #nextCensusId = 1

  constructor(options: DiskEvictionOptions) {
    this.#options = options
    const { path, maxSizeBytes, minFreeBytes } = options.disk
    this.#settings = { path, maxSizeBytes, minFreeBytes, owner: options.identity }
    prepareFolder(path, options.identity, options.logger)
  }

  /** Of all processes that there were. */
  get counts(): EvictorCounts {
    return sumOf(this.#before, this.#current)
  }

  /** Records that were read, as workers report them: pairs of segment and offset. */
  noteHits(places: readonly number[]): void {
    if (this.#hits.length < MAX_GATHERED_HITS * 2) this.#hits.push(...places)
  }

  start(): void {
    const startedAt = performance.now()
    const child = fork(PROCESS, {
      serialization: 'advanced',
      env: { ...process.env, NODE_COMPILE_CACHE: compileCacheFolder() },
    })
    this.#child = child
    // The process's own side says which messages there are; nobody else writes to this channel.
    child.on('message', (message) => this.#received(message as FromEvictor))
    child.on('error', (err) => this.#options.logger.warn({ err }, 'the evicting process failed'))
    child.on('exit', (code, signal) => {
      this.#before = this.counts
      this.#current = NOTHING_EVICTED
      this.#child = null
      for (const settle of this.#censuses.values()) settle(null)
      if (!this.#isStopped) this.#ended(code, signal, performance.now() - startedAt)
    })
    this.#send({ type: 'start', options: this.#settings })
  }

  #ended(code: number | null, signal: string | null, livedMs: number): void {
    const restartInMs = this.#backOff.delayAfterDeathMs(livedMs)
    this.#options.logger.error(
      { status: code, signal, livedMs: Math.round(livedMs), restartInMs },
      'the evicting process ended and is replaced',
    )
    this.#options.onEnded(signal)
    this.#retryTimer = setTimeout(() => this.start(), restartInMs)
  }

  /** null when the process ends, or does not answer in time. */
  census(query: DiskCensusQuery): Promise<EvictorCensus | null> {
    if (!this.#child?.connected) return Promise.resolve(null)
    const id = this.#nextCensusId++
    return new Promise((resolve) => {
      const settle = (census: EvictorCensus | null) => {
        clearTimeout(timer)
        this.#censuses.delete(id)
        resolve(census)
      }
      const timer = setTimeout(() => settle(null), CENSUS_TIMEOUT_MS)
      this.#censuses.set(id, settle)
      this.#send({ type: 'take-census', id, query })
    })
  }

  #received(message: FromEvictor): void {
    if (message.type === 'census') {
      this.#censuses.get(message.id)?.(message.census)
      return
    }
    if (message.type === 'eviction-trouble') {
      const { message: reason, code } = message
      // One line per kind of trouble, not one per round.
      if (reason !== this.#told) {
        this.#options.logger.error({ reason, code }, 'the disk tier cannot be evicted')
      }
      this.#told = reason
      return
    }
    this.#current = message.counts
    const places = this.#hits
    this.#hits = []
    // Only after a round, so that nothing piles up in the channel of a process that waits for its disk.
    if (places.length > 0) this.#send({ type: 'hits', places })
  }

  #send(message: ToEvictor): void {
    // One that has just ended: its exit is what is acted upon.
    if (this.#child?.connected) this.#child.send(message, () => {})
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#retryTimer)
    // It may be killed at any moment: what it writes is whole or not there.
    this.#child?.kill('SIGKILL')
  }
}

function sumOf(before: EvictorCounts, current: EvictorCounts): EvictorCounts {
  return {
    usedBytes: current === NOTHING_EVICTED ? before.usedBytes : current.usedBytes,
    evictedSegments: before.evictedSegments + current.evictedSegments,
    evictedFiles: before.evictedFiles + current.evictedFiles,
    reinsertedRecords: before.reinsertedRecords + current.reinsertedRecords,
  }
}

function prepareFolder(path: string, identity: Identity | undefined, logger: Logger): void {
  try {
    const folders = [path, join(path, 'segments'), join(path, 'large'), join(path, 'index')]
    for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (identity !== undefined) handOver(path, identity)
  } catch (error) {
    // The workers find the same and say that the tier is off; it comes back when the folder does.
    logger.warn({ err: error }, 'the folder of the disk tier cannot be made')
  }
}

/** Walks the folder only when it is somebody else's: new, or of another user's workers. */
function handOver(path: string, { uid, gid }: Identity): void {
  if (statSync(path).uid === uid && statSync(join(path, 'index')).uid === uid) return
  for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
    chownSync(join(path, name), uid, gid)
  }
  // Last: as long as this has not come to its end, the next start does it again.
  chownSync(path, uid, gid)
}

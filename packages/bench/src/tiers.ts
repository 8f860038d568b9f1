import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeCertificate } from './certificate.ts'
import { type KeyLoad, runKeys } from './key-load.ts'
import { type Origin, startOrigin } from './origin.ts'
import {
  type LarderVariant,
  type Peer,
  type Surroundings,
  startConfigured,
  startLarder,
} from './peers.ts'
import { cpuSeconds, isInstalled, untilQuiet } from './processes.ts'
import { type Redis, startRedis } from './redis.ts'
import type { Measured } from './report.ts'

/**
 * CPU time of a server for one answer out of each tier, and for one that it fetches and stores. Rounds of all servers
 * alternate. Bodies all differ, and every round is held against the origin's count: a hit that was none is no figure.
 */

export interface TiersOptions {
  readonly folder: string
  readonly quick: boolean
}

const KIB = 1024
const MIB = 1024 * KIB
const CONNECTIONS = 16
/** Of what is to be hits, this share may have been lost on the way into a tier. */
const LOST_SHARE = 0.01
const MAX_FILLS = 10
/** Of memory, where what is asked for is to come from the tier behind it: the least that can be configured. */
const NO_MEMORY = { maxSize: '1MiB' }

/** A server, and the other processes whose time counts for it, under a name of their own. */
interface Subject {
  readonly peer: Peer
  readonly beside: { readonly name: string; readonly pid: number } | null
}

interface Case {
  readonly sizeBytes: number
  readonly name: string
  /** In each round of hits, one request per key; as many misses. */
  readonly keys: number
  readonly misses: number
}

function cases(quick: boolean): Case[] {
  const scale = quick ? 0.02 : 1
  const of = (count: number) => Math.max(5, Math.round(count * scale))
  const all = [
    { name: '1 KiB', sizeBytes: KIB, keys: of(15_000), misses: of(10_000) },
    { name: '100 KiB', sizeBytes: 100 * KIB, keys: of(4_000), misses: of(2_000) },
    { name: '10 MiB', sizeBytes: 10 * MIB, keys: of(100), misses: of(50) },
  ]
  return quick ? all.filter(({ sizeBytes }) => sizeBytes !== 100 * KIB) : all
}

export interface TierFigures {
  readonly hits: Measured[]
  readonly misses: Measured[]
}

export async function measureTiers(options: TiersOptions): Promise<TierFigures> {
  const { folder, quick } = options
  const rounds = quick ? 1 : 5
  const origin = await startOrigin(folder)
  const hits: Measured[] = []
  const misses: Measured[] = []
  let redis: Redis | null = null
  try {
    redis = isInstalled('redis-server') ? await startRedis(folder) : null
    for (const each of cases(quick)) {
      hits.push(...(await measureCaseHits(each, rounds, folder, origin, redis)))
      misses.push(...(await measureCaseMisses(each, rounds, folder, origin)))
      console.log(`done: ${each.name}`)
    }
  } finally {
    await redis?.stop()
    await origin.stop()
  }
  return { hits, misses }
}

async function measureCaseHits(
  each: Case,
  rounds: number,
  folder: string,
  origin: Origin,
  redis: Redis | null,
): Promise<Measured[]> {
  const { sizeBytes, keys } = each
  const load = { sizeBytes, firstKey: 0, keys, requests: keys, connections: CONNECTIONS }
  const series = new Series(`hit, ${each.name}`)
  await withSubjects(folder, origin, redis, sizeBytes, async (subjects) => {
    for (const subject of subjects) await fill(subject, load, origin)
    // The first round lets a just-in-time compiler do its work.
    for (let round = -1; round < rounds; round++) {
      for (const subject of subjects) {
        const { spent, asked } = await measured(subject, load, origin)
        if (asked > keys * LOST_SHARE) {
          throw new Error(`${subject.peer.name}: ${asked} of ${keys} hits were misses`)
        }
        if (round >= 0) series.add(subject, spent, keys)
      }
    }
  })
  return series.results()
}

async function measureCaseMisses(
  each: Case,
  rounds: number,
  folder: string,
  origin: Origin,
): Promise<Measured[]> {
  const { sizeBytes, misses: keys } = each
  const series = new Series(`miss and store, ${each.name}`)
  await withSubjects(folder, origin, null, sizeBytes, async (subjects) => {
    for (let round = -1; round < rounds; round++) {
      const firstKey = (round + 1) * keys
      const load = { sizeBytes, firstKey, keys, requests: keys, connections: CONNECTIONS }
      for (const subject of subjects) {
        const { spent, asked } = await measured(subject, load, origin)
        if (asked !== keys) {
          throw new Error(`${subject.peer.name}: ${asked} origin requests for ${keys} misses`)
        }
        if (round >= 0) series.add(subject, spent, keys)
      }
    }
  })
  return series.results()
}

/**
 * Memory, Redis and disk, each alone, and nginx, whose cache is files; those that store bodies of this size. All is
 * gone afterwards.
 */
async function withSubjects(
  folder: string,
  origin: Origin,
  redis: Redis | null,
  sizeBytes: number,
  use: (subjects: readonly Subject[]) => Promise<void>,
): Promise<void> {
  const place = join(folder, 'subjects')
  mkdirSync(place)
  const subjects: Subject[] = []
  try {
    await writeCertificate(place)
    await startSubjects({ folder: place, originPort: origin.port }, redis, sizeBytes, subjects)
    await use(subjects)
  } finally {
    for (const { peer } of subjects) await peer.stop()
    rmSync(place, { recursive: true, force: true })
  }
}

/** Into `subjects`, so that those that run are known when one of them cannot. */
async function startSubjects(
  surroundings: Surroundings,
  redis: Redis | null,
  sizeBytes: number,
  subjects: Subject[],
): Promise<void> {
  const larder = async (name: string, options: LarderVariant['options']) =>
    startLarder(surroundings, { name: `Larder, ${name}`, options })
  if (sizeBytes <= MIB) {
    const peer = await larder('memory', { memory: { maxSize: '2GiB' } })
    subjects.push({ peer, beside: null })
  }
  if (sizeBytes <= MIB && redis !== null) {
    // Of a machine that is busy with other things a miss is not what is to be measured.
    const options = { url: redis.url, prefix: `${sizeBytes}:`, deadline: '1s' }
    const peer = await larder('Redis', { memory: NO_MEMORY, redis: options })
    subjects.push({ peer, beside: { name: 'redis-server', pid: redis.pid } })
  }
  const disk = { path: join(surroundings.folder, 'disk'), maxSize: '64GiB' }
  const peer = await larder('disk', { memory: NO_MEMORY, disk })
  subjects.push({ peer, beside: null })
  if (isInstalled('nginx')) {
    subjects.push({ peer: await startConfigured('nginx', surroundings), beside: null })
  }
}

/** Until the origin is hardly asked any more: Redis takes what has been a hit twice, and only so much at once. */
async function fill(subject: Subject, load: KeyLoad, origin: Origin): Promise<void> {
  const { peer, beside } = subject
  // Three times in a row, before it has left memory.
  const uses = beside === null ? 1 : 3
  const inARow = { ...load, requests: load.keys * uses, repeat: uses, connections: 1 }
  for (let attempt = 0; attempt < MAX_FILLS; attempt++) {
    await runKeys(peer, inARow)
    await untilQuiet(peer.pid)
    const { asked } = await measured(subject, load, origin)
    if (asked <= load.keys * LOST_SHARE) return
  }
  throw new Error(`${peer.name} does not hold ${load.keys} bodies of ${load.sizeBytes} bytes`)
}

async function measured(
  subject: Subject,
  load: KeyLoad,
  origin: Origin,
): Promise<{ spent: Spent; asked: number }> {
  const before = await origin.count()
  const spent = await spentOn(subject, load)
  return { spent, asked: (await origin.count()) - before }
}

/** Seconds of CPU time, that of storing behind the answers included. */
interface Spent {
  readonly own: number
  readonly beside: number
}

async function spentOn({ peer, beside }: Subject, load: KeyLoad): Promise<Spent> {
  const before = cpuSeconds(peer.pid)
  const besideBefore = beside === null ? 0 : cpuSeconds(beside.pid)
  await runKeys(peer, load)
  await untilQuiet(peer.pid)
  return {
    own: cpuSeconds(peer.pid) - before,
    beside: beside === null ? 0 : cpuSeconds(beside.pid) - besideBefore,
  }
}

/** Rounds by server. */
class Series {
  readonly #caseName: string
  readonly #rounds = new Map<string, number[]>()

  constructor(caseName: string) {
    this.#caseName = caseName
  }

  add({ peer, beside }: Subject, spent: Spent, requests: number): void {
    this.#push(peer.name, (spent.own * 1e6) / requests)
    if (beside !== null) this.#push(beside.name, (spent.beside * 1e6) / requests)
  }

  #push(name: string, microseconds: number): void {
    const rounds = this.#rounds.get(name) ?? []
    rounds.push(microseconds)
    this.#rounds.set(name, rounds)
  }

  results(): Measured[] {
    const caseName = this.#caseName
    return [...this.#rounds].map(([peer, rounds]) => ({ caseName, peer, rounds }))
  }
}

import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { writeCertificate } from './certificate.ts'
import { heldMemory } from './inspect.ts'
import { runKeys } from './key-load.ts'
import { type Origin, startOrigin } from './origin.ts'
import { type Peer, startLarder } from './peers.ts'
import { anonymousBytes, cpuSeconds, untilQuiet, workerOf } from './processes.ts'

/**
 * What many objects cost: memory beside their bodies, space on disk beside their bodies, and CPU time of a look-up, as
 * their number grows. Each tier alone, filled through the front door.
 */

export interface ObjectsOptions {
  readonly folder: string
  /** Numbers of objects to stop at, growing. */
  readonly counts: readonly number[]
  readonly rounds: number
}

const BODY_BYTES = 1024
const CONNECTIONS = 16
/** Filled in such portions. */
const PORTION = 100_000
const HITS = 20_000
/** Objects up to which a worker's garbage is collected at once. */
const MAX_COLLECTED = 300_000
/** What a process takes once, and a compiler needs to see, is not the objects'. */
const WARM_UP_OBJECTS = 2_000

export interface ObjectFigures {
  readonly tier: 'memory' | 'disk'
  readonly objects: number
  readonly bodyBytes: number
  /**
   * Of the worker, after collecting garbage; for one object, its body included, bytes. Null for so many that collecting
   * it at once would take longer than the primary waits for a sign of life.
   */
  readonly heapBytes: number | null
  readonly bufferBytes: number | null
  /** Anonymous memory that the processes have from the kernel, garbage and gaps included; for one object, bytes. */
  readonly residentBytes: number
  /** Of the index file, for one object; 0 in memory. */
  readonly indexBytes: number
  /** Of the segments beside bodies, for one object; 0 in memory. */
  readonly metadataBytes: number
  /** CPU time of one hit, out of all objects by chance, µs, by round. */
  readonly hits: readonly number[]
}

export async function measureObjects(options: ObjectsOptions): Promise<ObjectFigures[]> {
  const origin = await startOrigin(options.folder)
  try {
    return [
      ...(await measureTier('memory', options, origin)),
      ...(await measureTier('disk', options, origin)),
    ]
  } finally {
    await origin.stop()
  }
}

async function measureTier(
  tier: 'memory' | 'disk',
  { folder, counts, rounds }: ObjectsOptions,
  origin: Origin,
): Promise<ObjectFigures[]> {
  const place = join(folder, tier)
  mkdirSync(place)
  await writeCertificate(place)
  const filling = new Filling(await startTier(tier, place, origin), origin, tier)
  const results: ObjectFigures[] = []
  try {
    await filling.to(WARM_UP_OBJECTS)
    const before = await filling.state()
    for (const objects of counts) {
      await filling.to(objects)
      const hits = await filling.hits(rounds)
      results.push(figures(tier, objects, before, await filling.state(), hits))
      console.log(`done: ${objects} objects ${tier === 'disk' ? 'on disk' : 'in memory'}`)
    }
  } finally {
    await filling.larder.stop()
    rmSync(place, { recursive: true, force: true })
  }
  return results
}

interface Filled {
  readonly larder: Peer
  readonly inspectPort: number
  /** Folder of the disk tier; null in memory. */
  readonly disk: string | null
}

async function startTier(tier: 'memory' | 'disk', place: string, origin: Origin): Promise<Filled> {
  const inspectPort = await inspectorPort()
  const disk = tier === 'disk' ? join(place, 'disk') : null
  const options =
    disk === null
      ? { memory: { maxSize: '32GiB' } }
      : { memory: { maxSize: '1MiB' }, disk: { path: disk, maxSize: '64GiB' } }
  const surroundings = { folder: place, originPort: origin.port }
  const larder = await startLarder(surroundings, { name: 'Larder', options, inspectPort })
  return { larder, inspectPort, disk }
}

/** For the primary; its worker takes the next. Below the ports that connections are given, which come and go. */
async function inspectorPort(): Promise<number> {
  for (let port = 20_000 + (process.pid % 5_000); ; port += 2) {
    if ((await isFree(port)) && (await isFree(port + 1))) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** What the processes and files have, all objects together, bytes. */
interface State {
  readonly heapBytes: number | null
  readonly bufferBytes: number | null
  readonly residentBytes: number
  readonly indexBytes: number
  readonly segmentBytes: number
}

/** A tier that is filled further and further. */
class Filling {
  readonly larder: Peer
  readonly #filled: Filled
  readonly #origin: Origin
  readonly #tier: string
  #objects = 0

  constructor(filled: Filled, origin: Origin, tier: string) {
    this.larder = filled.larder
    this.#filled = filled
    this.#origin = origin
    this.#tier = tier
  }

  async to(objects: number): Promise<void> {
    while (this.#objects < objects) {
      const keys = Math.min(PORTION, objects - this.#objects)
      const load = { firstKey: this.#objects, keys, requests: keys }
      await runKeys(this.larder, { sizeBytes: BODY_BYTES, connections: CONNECTIONS, ...load })
      this.#objects += keys
    }
    await untilQuiet(this.larder.pid)
  }

  /** CPU time of one, µs, by round. */
  async hits(rounds: number): Promise<number[]> {
    const load = { firstKey: 0, keys: this.#objects, requests: HITS, random: true }
    const spent: number[] = []
    const askedBefore = await this.#origin.count()
    for (let round = -1; round < rounds; round++) {
      const before = cpuSeconds(this.larder.pid)
      await runKeys(this.larder, { sizeBytes: BODY_BYTES, connections: CONNECTIONS, ...load })
      if (round >= 0) spent.push(((cpuSeconds(this.larder.pid) - before) * 1e6) / HITS)
    }
    const lost = (await this.#origin.count()) - askedBefore
    if (lost > HITS / 100) {
      throw new Error(`${lost} of ${this.#objects} objects are not held in ${this.#tier}`)
    }
    return spent
  }

  async state(): Promise<State> {
    const { disk, inspectPort, larder } = this.#filled
    const held =
      this.#objects > MAX_COLLECTED
        ? { heapBytes: null, bufferBytes: null }
        : await heldMemory(workerOf(larder.pid), inspectPort + 1)
    return {
      ...held,
      residentBytes: anonymousBytes(larder.pid),
      indexBytes: disk === null ? 0 : bytesIn(join(disk, 'index')),
      segmentBytes: disk === null ? 0 : bytesIn(join(disk, 'segments')),
    }
  }
}

/** Of one object, beside what was there before. */
function figures(
  tier: 'memory' | 'disk',
  objects: number,
  before: State,
  after: State,
  hits: readonly number[],
): ObjectFigures {
  const added = objects - WARM_UP_OBJECTS
  const each = (now: number, then: number) => (now - then) / added
  const held = (now: number | null, then: number | null) =>
    now === null || then === null ? null : each(now, then)
  const segmentBytes = each(after.segmentBytes, before.segmentBytes)
  return {
    tier,
    objects,
    bodyBytes: BODY_BYTES,
    heapBytes: held(after.heapBytes, before.heapBytes),
    bufferBytes: held(after.bufferBytes, before.bufferBytes),
    residentBytes: each(after.residentBytes, before.residentBytes),
    indexBytes: each(after.indexBytes, before.indexBytes),
    metadataBytes: tier === 'disk' ? segmentBytes - BODY_BYTES : 0,
    hits,
  }
}

/** Taken from the file system, holes not counted. */
function bytesIn(folder: string): number {
  return readdirSync(folder).reduce(
    (sum, name) => sum + statSync(join(folder, name)).blocks * 512,
    0,
  )
}

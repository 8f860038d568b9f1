import type { Test } from 'tap'
import {
  connectRedis,
  type RedisPlace,
} from '../../packages/proxy/src/storage/redis/redis-client.ts'
import { RedisTier } from '../../packages/proxy/src/storage/redis/redis-tier.ts'
import type { SharedTier, StoredHandle } from '../../packages/proxy/src/storage/shared-tier.ts'
import {
  type MetadataSketch,
  metadata,
  NOW,
} from '../../packages/proxy/src/storage/test-support/stored.ts'
import { waitFor } from './larder-process.ts'

export interface TierUnderTest {
  readonly tier: RedisTier
  /** What ioredis has told of trouble. */
  readonly errors: Error[]
  /** Epoch ms, moved by the test. */
  readonly clock: { ms: number }
}

export interface TierSketch extends Partial<RedisPlace> {
  readonly prefix?: string
  readonly maxObjectBytes?: number
  readonly deadlineMs?: number
}

/** Deadline of tests that are not about it: a busy machine is not what they look at. */
const UNHURRIED_MS = 2_000

/** A tier that is connected. */
export async function startTier(t: Test, sketch: TierSketch): Promise<TierUnderTest> {
  const under = makeTier(t, sketch)
  await waitFor(() => under.tier.up)
  await waitFor(() => under.tier.writable)
  return under
}

export function makeTier(t: Test, sketch: TierSketch): TierUnderTest {
  const { prefix = 'test:', maxObjectBytes = 1024 * 1024, deadlineMs = UNHURRIED_MS } = sketch
  const errors: Error[] = []
  const clock = { ms: NOW }
  const connect = () => connectRedis({ ...NOWHERE, ...sketch }, (error) => errors.push(error))
  const tier = new RedisTier({
    reads: connect(),
    writes: connect(),
    prefix,
    maxObjectBytes,
    deadlineMs,
    now: () => clock.ms,
  })
  t.teardown(() => tier.close())
  return { tier, errors, clock }
}

const NOWHERE: RedisPlace = {
  url: undefined,
  cluster: [],
  sentinels: [],
  sentinelName: undefined,
  username: undefined,
  password: undefined,
  caPem: undefined,
}

/** Stores a response; resolves when Redis has it, or will not get it. */
export async function put(
  tier: RedisTier,
  sketch: MetadataSketch,
  body: string | Buffer,
): Promise<void> {
  const insertion = tier.insert(metadata(sketch), undefined)
  insertion?.write(Buffer.from(body))
  insertion?.commit()
  await tier.settled()
}

export async function bodiesOf(tier: SharedTier, key = 'k'): Promise<string[]> {
  const handles = await tier.lookUp(key)
  return Promise.all(handles.map(async (handle) => (await bodyOf(handle)).toString()))
}

export async function bodyOf(
  handle: StoredHandle,
  first = 0,
  end = handle.bodyLength,
): Promise<Buffer> {
  const read = handle.read(first, end)
  const pieces: Buffer[] = []
  for (let piece = await read.next(); piece !== null; piece = await read.next()) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** Bytes that no shifted or repeated copy of them equals. */
export function distinctBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16) * 13) & 255
  return bytes
}

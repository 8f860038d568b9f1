import type { Config } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import type { WorkerMetrics } from '../observability/metrics.ts'
import { PopLease } from '../pipeline/pop-lease.ts'
import { DiskTier } from '../storage/disk/disk-tier.ts'
import { connectRedis } from '../storage/redis/redis-client.ts'
import { RedisTier } from '../storage/redis/redis-tier.ts'
import type { SharedTier } from '../storage/shared-tier.ts'
import { TieredStore } from '../storage/tiered-store.ts'

/** Gathered before they are told to the primary: hits of the disk tier, as pairs of segment and offset. */
const MAX_GATHERED_HITS = 10_000

export interface SharedTiersOptions {
  readonly config: Config
  readonly logger: Logger
  /** Epoch ms. */
  now(): number
}

/** The tiers behind memory that the configuration names, with their logs and numbers. */
export class SharedTiers {
  /** null when there is none. */
  readonly store: TieredStore | null
  /** null when the machines of the PoP do not wait for each other. */
  readonly lease: PopLease | null
  readonly #disk: DiskTier | null
  readonly #redis: RedisTier | null
  #hits: number[] = []

  constructor({ config, logger, now }: SharedTiersOptions) {
    this.#disk = config.disk === undefined ? null : this.#openDisk(config.disk, logger)
    this.#redis =
      config.redis === undefined
        ? null
        : openRedis(config.redis, config.memory.maxObjectBytes, logger, now)
    // Disk first: the machine's own copy is nearer than the PoP's (docs/decisions/tier-order.md).
    const tiers = [this.#disk, this.#redis].filter(
      (tier): tier is DiskTier | RedisTier => tier !== null,
    )
    const leaseMs = config.redis?.collapseMs
    this.lease =
      this.#redis === null || leaseMs === undefined ? null : new PopLease(this.#redis, leaseMs)
    this.store = tiers.length === 0 ? null : new TieredStore(tiers satisfies SharedTier[], now)
  }

  #openDisk(disk: NonNullable<Config['disk']>, logger: Logger): DiskTier {
    const { path, maxSizeBytes } = disk
    return new DiskTier({
      path,
      maxSizeBytes,
      onState(state, reason) {
        if (state === 'on') logger.info({ path }, 'the disk tier is back')
        else logger.error({ path, reason }, 'the disk tier is off; it is tried again every 2 s')
      },
      onHit: (segment, offset) => {
        if (this.#hits.length < MAX_GATHERED_HITS * 2) this.#hits.push(segment, offset)
      },
    })
  }

  /** Opens what the first request would have to wait for. */
  open(): void {
    void this.#disk?.open()
  }

  /** What was read from disk since the last call: for the primary, which evicts. */
  takeHits(): readonly number[] {
    const hits = this.#hits
    this.#hits = []
    return hits
  }

  /** Brings the gauges and counters up to date. */
  measure(metrics: WorkerMetrics): void {
    if (this.#disk !== null) {
      metrics.set(metrics.series('larder_tier_up', 'disk'), this.#disk.on ? 1 : 0)
      for (const kind of ['corrupt', 'timeouts'] as const) {
        metrics.set(metrics.series('larder_tier_failures_total', 'disk', kind), this.#disk[kind])
      }
    }
    if (this.#redis !== null) {
      const { counts } = this.#redis
      metrics.set(metrics.series('larder_tier_up', 'redis'), this.#redis.up ? 1 : 0)
      for (const kind of ['timeouts', 'errors', 'skipped', 'corrupt'] as const) {
        metrics.set(metrics.series('larder_tier_failures_total', 'redis', kind), counts[kind])
      }
    }
  }

  async close(): Promise<void> {
    await this.store?.close()
  }
}

function openRedis(
  redis: NonNullable<Config['redis']>,
  maxMemoryObjectBytes: number,
  logger: Logger,
  now: () => number,
): RedisTier {
  let told = ''
  const connect = () => {
    const client = connectRedis(redis, ({ message }) => {
      // One line per kind of trouble, not one per attempt; and no more of the error than its message, because the
      // command that it carries may be the one with the password.
      if (message !== told) logger.warn({ reason: message }, 'Redis cannot be used')
      told = message
    })
    client.on('ready', () => {
      if (told !== '') logger.info('Redis is back')
      told = ''
    })
    return client
  }
  return new RedisTier({
    reads: connect(),
    writes: connect(),
    prefix: redis.prefix,
    // What is found is brought into memory before it is used.
    maxObjectBytes: Math.min(redis.maxObjectBytes, maxMemoryObjectBytes),
    deadlineMs: redis.deadlineMs,
    now,
  })
}

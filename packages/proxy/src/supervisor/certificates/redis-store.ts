import { randomBytes } from 'node:crypto'
import type { CertificatePair, CertificateSet, KeyRing } from '@larder/certs'
import type { Logger } from '../../observability/logger.ts'
import {
  connectRedis,
  type RedisClient,
  type RedisPlace,
} from '../../storage/redis/redis-client.ts'
import { RecordCopies } from './record-copies.ts'
import { NEXT_VERSION, STORE_SET } from './redis-scripts.ts'
import {
  MAX_STORED_SETS,
  type SetStore,
  StaleFence,
  type StoredHead,
  StoreUnavailable,
} from './set-store.ts'

export interface RedisStoreOptions {
  readonly place: RedisPlace
  readonly prefix: string
  /** Encrypts the private keys. */
  readonly keys: KeyRing
  /** Where the records are kept that this machine uses, for a start without Redis. */
  readonly copiesFolder: string
  readonly logger: Logger
}

/** A message can be lost: the number of the last change is asked for so often. */
const POLL_MS = 1_500
const ANSWER_LIMIT_MS = 2_000
/** Heads asked for at a time. */
const PORTION = 1_000

/**
 * Sets shared by the machines of a point of presence. What is in Redis for a set is its record, whose pairs are
 * encrypted with its id, version and names bound to them, and its head, which is all that machines hold of sets that
 * nobody asks for. A newer version stays, whatever comes later. While Redis is away, what is known stays known, and what
 * was used here is served from copies, also after a restart.
 */
export class RedisStore implements SetStore {
  readonly #options: RedisStoreOptions
  readonly #names: StoreNames
  readonly #client: RedisClient
  readonly #listener: RedisClient
  readonly #heads = new Map<string, StoredHead>()
  readonly #copies: RecordCopies
  #onHead: (head: StoredHead) => void = () => {}
  #change = -1
  #epoch = ''
  #timer: NodeJS.Timeout | undefined
  #syncing: Promise<void> | undefined
  #isAgain = false
  #isStopped = false
  #isLost = false

  constructor(options: RedisStoreOptions) {
    this.#options = options
    this.#names = new StoreNames(options.prefix)
    this.#copies = new RecordCopies(options.copiesFolder, options.logger)
    const onError = (err: Error) => options.logger.debug({ err }, 'Redis is away (certificates)')
    this.#client = connectRedis(options.place, onError)
    this.#listener = connectRedis(options.place, onError)
  }

  async start(onHead: (head: StoredHead) => void): Promise<void> {
    this.#onHead = onHead
    this.#takeCopies()
    this.#listener.on('message', () => void this.#sync())
    this.#listener.on('ready', () => {
      // What is lost in between is found by the poll.
      this.#listener.subscribe(this.#names.channel).catch(() => {})
      void this.#sync()
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    const limit = setTimeout(resolve, ANSWER_LIMIT_MS)
    this.#client.once('ready', resolve)
    if (this.#client.status === 'ready') resolve()
    await promise
    clearTimeout(limit)
    await this.#sync()
    this.#timer = setInterval(() => void this.#sync(), POLL_MS).unref()
  }

  async read(id: string): Promise<CertificateSet | null> {
    const record = await this.#recordOf(id)
    if (record === null) return null
    const set = openRecord(this.#options.keys, id, record)
    // Only what opens is worth keeping.
    this.#copies.put(id, record)
    return set
  }

  async #recordOf(id: string): Promise<string | null> {
    try {
      const record = await this.#call((client) => client.hget(this.#names.records, id))
      // A Redis that has lost what it had has lost this, too; what was taken away has no copy.
      return record ?? this.#copies.get(id)
    } catch (error) {
      const copy = this.#copies.get(id)
      if (copy === null) throw error
      return copy
    }
  }

  #takeCopies(): void {
    for (const record of this.#copies.read()) {
      try {
        const { id } = JSON.parse(record)
        const { names, version } = openRecord(this.#options.keys, String(id), record)
        this.#heard({ id, names, version })
      } catch (err) {
        this.#options.logger.warn({ err }, 'the copy of a certificate does not open')
      }
    }
  }

  async put(
    id: string,
    names: readonly string[],
    pairs: readonly CertificatePair[],
    fence = 0,
  ): Promise<number> {
    const version = await this.#nextVersion()
    const record = sealRecord(this.#options.keys, { id, names, version, pairs })
    await this.#store({ id, names, version }, record, fence)
    return version
  }

  async remove(id: string): Promise<boolean> {
    if ((this.#heads.get(id)?.names.length ?? 0) === 0) return false
    const version = await this.#nextVersion()
    await this.#store({ id, names: [], version }, '', 0)
    return true
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearInterval(this.#timer)
    this.#client.disconnect()
    this.#listener.disconnect()
  }

  /** Higher than any that a set has or will have had before. */
  async #nextVersion(): Promise<number> {
    let least = 0
    for (const { version } of this.#heads.values()) least = Math.max(least, version)
    const { sequence } = this.#names
    return Number(await this.#call((client) => client.eval(NEXT_VERSION, 1, sequence, `${least}`)))
  }

  async #store(head: StoredHead, record: string, fence: number): Promise<void> {
    const { heads, records, change, changes, fences, channel } = this.#names
    const words = [head.id, head.version, writeHead(head), record, channel, MAX_STORED_SETS, fence]
    const stored = Number(
      await this.#call((client) =>
        client.eval(STORE_SET, 5, heads, records, change, changes, fences, ...words),
      ),
    )
    if (stored === -1) {
      throw new StoreUnavailable(`There are ${MAX_STORED_SETS} certificates; delete some.`)
    }
    if (stored === -2) throw new StaleFence(head.id)
    if (stored === 0)
      throw new StoreUnavailable('Another machine has stored a newer one meanwhile.')
    this.#heard(head)
    if (record !== '') this.#copies.put(head.id, record)
  }

  /** One at a time; whoever wants one while one is under way gets one more after it. */
  #sync(): Promise<void> {
    if (this.#syncing !== undefined) {
      this.#isAgain = true
      return this.#syncing
    }
    this.#syncing = this.#syncNow()
      .then(
        () => this.#found(),
        (error: unknown) => this.#lost(error),
      )
      .finally(() => {
        this.#syncing = undefined
        if (this.#isAgain && !this.#isStopped) {
          this.#isAgain = false
          void this.#sync()
        }
      })
    return this.#syncing
  }

  async #syncNow(): Promise<void> {
    if (this.#isStopped) return
    const names = this.#names
    const mine = randomBytes(8).toString('hex')
    // Another Redis, or one that has lost what it had: its numbers say nothing about those before.
    await this.#call((client) => client.setnx(names.epoch, mine))
    const [epoch, text] = await this.#call((client) => client.mget(names.epoch, names.change))
    const change = Number(text ?? 0)
    if (epoch === this.#epoch && change === this.#change) return
    const isOther = epoch !== this.#epoch || change < this.#change
    const ids = isOther
      ? await this.#call((client) => client.hkeys(names.heads))
      : await this.#call((client) =>
          client.zrangebyscore(names.changes, `(${this.#change}`, '+inf'),
        )
    for (let from = 0; from < ids.length; from += PORTION) {
      const portion = ids.slice(from, from + PORTION)
      const heads = await this.#call((client) => client.hmget(names.heads, ...portion))
      for (const [at, head] of heads.entries()) {
        if (head !== null) this.#heard(readHead(portion[at], head))
      }
    }
    this.#epoch = epoch ?? ''
    this.#change = change
  }

  #heard(head: StoredHead): void {
    const known = this.#heads.get(head.id)
    if (known !== undefined && known.version >= head.version) return
    this.#heads.set(head.id, head)
    if (head.names.length === 0) this.#copies.drop(head.id)
    this.#onHead(head)
  }

  #found(): void {
    if (this.#isLost) this.#options.logger.info('Redis is back: certificates are shared again')
    this.#isLost = false
  }

  #lost(err: unknown): void {
    if (this.#isLost || this.#isStopped) return
    this.#isLost = true
    this.#options.logger.warn(
      { err },
      'Redis is out of reach: certificates that are known stay, new ones of other machines come later',
    )
  }

  async #call<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    if (this.#client.status !== 'ready') throw new StoreUnavailable('Redis is out of reach.')
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => late.reject(new StoreUnavailable(`Redis did not answer in ${ANSWER_LIMIT_MS} ms.`)),
      ANSWER_LIMIT_MS,
    )
    try {
      return await Promise.race([command(this.#client), late.promise])
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error
      throw new StoreUnavailable('Redis did not take the command.', { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }
}

/** What things are called in Redis. One hash tag: scripts need them on one node of a cluster. */
class StoreNames {
  /** Hash: id → version, then names. */
  readonly heads: string
  /** Hash: id → record. */
  readonly records: string
  /** The last version that was given. */
  readonly sequence: string
  /** Number of changes. */
  readonly change: string
  /** Sorted set: ids by the number of their last change. */
  readonly changes: string
  /** Hash: id → fence of the last commit that had one. */
  readonly fences: string
  /** A random text for the life of what is stored. */
  readonly epoch: string
  readonly channel: string

  constructor(prefix: string) {
    const tag = `{${prefix}certificates}`
    this.heads = `${tag}:heads`
    this.records = `${tag}:records`
    this.sequence = `${tag}:sequence`
    this.change = `${tag}:change`
    this.changes = `${tag}:changes`
    this.fences = `${tag}:fences`
    this.epoch = `${tag}:epoch`
    this.channel = `${prefix}certificates:changed`
  }
}

function writeHead({ names, version }: StoredHead): string {
  return `${version} ${names.join(' ')}`
}

function readHead(id: string, text: string): StoredHead {
  const [version, ...names] = text.split(' ')
  return { id, version: Number(version), names: names.filter((name) => name !== '') }
}

/** To what an encrypted text belongs: with another id, version or names it does not open. */
function boundTo({ id, version, names }: StoredHead): string {
  return JSON.stringify(['larder certificate', id, version, names])
}

function sealRecord(keys: KeyRing, { pairs, ...head }: CertificateSet): string {
  return JSON.stringify({ ...head, sealed: keys.seal(JSON.stringify(pairs), boundTo(head)) })
}

function openRecord(keys: KeyRing, id: string, text: string): CertificateSet {
  // Whoever can write to Redis may have written anything; only what opens is believed.
  const { version, names, sealed } = JSON.parse(text) as Record<string, unknown>
  const isWhole = Number.isSafeInteger(version) && Array.isArray(names)
  if (!isWhole || typeof sealed !== 'string') throw new Error(`The record of ${id} is damaged.`)
  // It opens only with the version and the names that it was sealed with.
  const head = { id, version: version as number, names: names as string[] }
  return { ...head, pairs: JSON.parse(keys.open(sealed, boundTo(head))) as CertificatePair[] }
}

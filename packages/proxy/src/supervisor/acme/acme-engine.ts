import type { CertificateVault } from '@larder/certs'
import {
  AcmeSession,
  ChallengeBook,
  FolderAccountStore,
  LocalLease,
  type RenewalEvent,
  type RenewalStatus,
  type RenewalTarget,
  Renewer,
} from '@larder/certs/acme'
import type { ChallengeAnswers } from '@larder/certs/challenges'
import type { AcmeConfig, Config } from '../../config/config.ts'
import type { Logger } from '../../observability/logger.ts'
import { connectRedis, type RedisClient } from '../../storage/redis/redis-client.ts'
import { RedisBoard } from './redis-board.ts'
import { RedisLease } from './redis-lease.ts'

export interface AcmeEngineOptions {
  readonly acme: AcmeConfig
  readonly redis: Config['redis']
  /** Where what is issued goes. */
  readonly vault: CertificateVault
  /** For the key of the account. */
  readonly folder: string
  readonly logger: Logger
  /** Gives the workers what they answer to validating authorities; resolves when they have it. */
  tell(answers: ChallengeAnswers): Promise<void>
  onEvent(event: RenewalEvent): void
}

/** The first orders wait so long for Redis; later is a failed attempt. */
const REDIS_READY_WITHIN_MS = 5_000

/** Everything that orders and renews, put together for one authority. Loaded when a tenant needs it. */
export class AcmeEngine {
  readonly #session: AcmeSession
  readonly #renewer: Renewer
  readonly #board: RedisBoard | null
  readonly #clients: readonly RedisClient[]
  #isStopped = false

  constructor({ acme, redis, vault, folder, logger, tell, onEvent }: AcmeEngineOptions) {
    const book = new ChallengeBook({ tell })
    let told = ''
    const onError = (error: unknown) => {
      // No more of the error than its message: it carries the command.
      const reason = error instanceof Error ? error.message : String(error)
      if (reason !== told) logger.warn({ reason }, 'ACME cannot use Redis')
      told = reason
    }
    const connect = (place: NonNullable<Config['redis']>) => connectRedis(place, onError)
    this.#clients = redis === undefined ? [] : [connect(redis), connect(redis)]
    const [client, subscriber] = this.#clients
    const prefix = redis?.prefix ?? ''
    this.#board =
      redis === undefined
        ? null
        : new RedisBoard({ redis: client, subscriber, prefix, book, onError })
    this.#session = new AcmeSession({
      directoryUrl: acme.directory,
      contacts: acme.email === undefined ? [] : [acme.email],
      termsAgreed: acme.termsAgreed,
      ...(acme.eab === undefined ? {} : { externalAccount: acme.eab }),
      ...(acme.caPem === undefined ? {} : { caPem: acme.caPem }),
      accounts: new FolderAccountStore(folder),
    })
    this.#renewer = new Renewer({
      session: this.#session,
      vault,
      board: this.#board ?? book,
      lease: redis === undefined ? new LocalLease() : new RedisLease(client, prefix),
      keyType: acme.keyType,
      challenges: acme.challenges,
      onEvent,
    })
  }

  /** From now on the workers answer, and certificates are ordered. */
  async start(): Promise<void> {
    this.#board?.start()
    await Promise.all(this.#clients.map((client) => ready(client)))
    if (!this.#isStopped) this.#renewer.start()
  }

  setTargets(targets: readonly RenewalTarget[]): void {
    this.#renewer.setTargets(targets)
  }

  status(): RenewalStatus[] {
    return this.#renewer.status()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#renewer.stop()
    this.#board?.stop()
    await this.#session.close()
    for (const client of this.#clients) client.disconnect()
  }
}

/** Failed attempts to connect do not count: without Redis an order fails, and is made again. */
async function ready(client: RedisClient): Promise<void> {
  if (client.status === 'ready') return
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, REDIS_READY_WITHIN_MS)
  client.once('ready', resolve)
  await promise
  clearTimeout(timer)
  client.off('ready', resolve)
}

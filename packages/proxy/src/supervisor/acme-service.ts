import { join } from 'node:path'
import type { CertificateVault } from '@larder/certs'
import type { RenewalEvent, RenewalStatus, RenewalTarget } from '@larder/certs/acme'
import { type ChallengeAnswers, NO_CHALLENGES } from '@larder/certs/challenges'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import type { AcmeEngine } from './acme/acme-engine.ts'

export interface AcmeServiceOptions {
  readonly config: Config
  readonly stateFolder: string
  readonly logger: Logger
  /** Where what is issued goes, and is served from. */
  readonly vault: CertificateVault
  /** All workers of this machine; resolves when they know. */
  tell(answers: ChallengeAnswers): Promise<void>
}

const PREFIX = 'acme:'
const DAY_MS = 86_400_000
/** From here on a failure is an error, not a warning. */
const URGENT_DAYS = 7

/** Certificates that tenants have by ACME: ordered, renewed, answered for. Does nothing while no tenant has one. */
export class AcmeService {
  readonly counts = { issued: 0, failed: 0 }
  readonly #options: AcmeServiceOptions
  #config: Config
  #engine: AcmeEngine | null = null
  /** What the engine was made for. */
  #engineFor = ''
  #isStarted = false
  #isOrdering = false
  #answers = NO_CHALLENGES
  /** Changes, one after the other. */
  #queue: Promise<void> = Promise.resolve()

  constructor(options: AcmeServiceOptions) {
    this.#options = options
    this.#config = options.config
  }

  /** What validating authorities may ask for now; for a worker that starts. */
  get answers(): ChallengeAnswers {
    return this.#answers
  }

  /** Workers answer by now: orders may begin. */
  start(): void {
    this.#isStarted = true
    this.#change(() => this.#follow())
  }

  configure(config: Config): void {
    this.#config = config
    if (this.#isStarted) this.#change(() => this.#follow())
  }

  async stop(): Promise<void> {
    this.#isStarted = false
    this.#change(() => this.#close())
    await this.#queue
  }

  status(): (RenewalStatus & { readonly tenant: string })[] {
    const all = this.#engine?.status() ?? []
    return all.map((status) => ({ ...status, tenant: status.id.slice(PREFIX.length) }))
  }

  /** Does what the configuration says. */
  async #follow(): Promise<void> {
    const targets = targetsOf(this.#config)
    if (targets.length === 0 || this.#engineFor !== engineKey(this.#config)) await this.#close()
    if (targets.length === 0 || !this.#isStarted) return
    this.#engine ??= await this.#open()
    this.#engine?.setTargets(targets)
    if (this.#isOrdering) return
    this.#isOrdering = true
    await this.#engine?.start()
  }

  async #open(): Promise<AcmeEngine | null> {
    const { acme, redis } = this.#config
    if (acme === undefined) return null
    const { AcmeEngine: Engine } = await import('./acme/acme-engine.ts')
    const { logger } = this.#options
    this.#engineFor = engineKey(this.#config)
    return new Engine({
      acme,
      redis,
      vault: this.#options.vault,
      folder: join(this.#options.stateFolder, 'acme'),
      logger,
      tell: (answers) => {
        this.#answers = answers
        return this.#options.tell(answers)
      },
      onEvent: (event) => this.#happened(event),
    })
  }

  async #close(): Promise<void> {
    const engine = this.#engine
    this.#engine = null
    this.#engineFor = ''
    this.#isOrdering = false
    await engine?.stop()
  }

  #change(work: () => Promise<void>): void {
    this.#queue = this.#queue.then(work).catch((error: unknown) => {
      this.#options.logger.error({ err: error }, 'ACME is in trouble')
    })
  }

  #happened(event: RenewalEvent): void {
    const { logger } = this.#options
    const certificate = event.id
    switch (event.kind) {
      case 'ordering':
        logger.info(
          { certificate, names: event.names, reason: event.reason },
          'ordering a certificate',
        )
        break
      case 'issued': {
        this.counts.issued++
        const { names, version, notAfterAt } = event
        logger.info(
          { certificate, names, version, expires: day(notAfterAt) },
          'a certificate is issued',
        )
        if (event.isDueAgain) {
          logger.warn(
            { certificate },
            'by the clock of this machine the new certificate is to be renewed already: is the clock right?',
          )
        }
        break
      }
      case 'failed': {
        this.counts.failed++
        const { names, error, failures, retryAt, notAfterAt } = event
        const daysLeft = notAfterAt === undefined ? 0 : (notAfterAt - Date.now()) / DAY_MS
        const details = {
          certificate,
          names,
          reason: error.message,
          failures,
          retryInSeconds: Math.round((retryAt - Date.now()) / 1000),
          daysLeft: Math.floor(daysLeft),
        }
        if (daysLeft < URGENT_DAYS) logger.error(details, 'a certificate is not issued')
        else logger.warn(details, 'a certificate is not renewed yet')
        break
      }
      case 'no-renewal-info':
        logger.debug({ certificate, reason: event.error.message }, 'no renewal information')
        break
    }
  }
}

/** Names a tenant's certificate among those of other sources. */
function certificateId(tenantId: string): string {
  return PREFIX + tenantId
}

function targetsOf(config: Config): RenewalTarget[] {
  if (config.acme === undefined) return []
  return config.tenants
    .filter(({ certificate }) => certificate?.source === 'acme')
    .map(({ id, hosts }) => ({ id: certificateId(id), names: hosts }))
}

function engineKey({ acme, redis }: Config): string {
  return JSON.stringify([acme, redis])
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

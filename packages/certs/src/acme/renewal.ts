import { setTimeout as sleep } from 'node:timers/promises'
import { type CertificateFacts, type CertificatePair, checkPair } from '../read.ts'
import type { CertificateSet, CertificateVault } from '../vault.ts'
import { AcmeError } from './acme-error.ts'
import type { CertificateKeyType } from './certificate-request.ts'
import { isLeaseLost, LeaseHolding, leaseLost } from './lease-holding.ts'
import { orderCertificate } from './order.ts'
import type { ChallengeBoard, ChallengeKind, HeldLease, Lease } from './ports.ts'
import type { RenewalEvent, RenewalStatus, RenewalTarget } from './renewal-event.ts'
import { type RenewalDue, type RenewalReason, renewalDue, retryDelayMs } from './renewal-plan.ts'
import type { RenewalWindow } from './resources.ts'
import type { AcmeSession } from './session.ts'

export interface RenewerOptions {
  readonly session: AcmeSession
  readonly vault: CertificateVault
  readonly board: ChallengeBoard
  readonly lease: Lease
  readonly keyType: CertificateKeyType
  /** Best first; after a failure the next one has its turn. */
  readonly challenges: readonly ChallengeKind[]
  /** Epoch ms. */
  readonly now?: () => number
  /** In [0, 1). */
  readonly random?: () => number
  onEvent(event: RenewalEvent): void
}

interface Entry {
  target: RenewalTarget
  nextAt: number
  facts: CertificateFacts | null
  window: SuggestedWindow | null
  failures: number
  lastError: string | undefined
  /** Its names have changed: what failed before says nothing about them. */
  isNew: boolean
  /** Waiting for its turn, or attended to. */
  isUnderWay: boolean
}

interface SuggestedWindow {
  readonly fingerprint: string
  readonly window: RenewalWindow | null
  readonly askAt: number
}

/** Certificates looked at or ordered at the same time. */
const MAX_CONCURRENT = 4
/** Another machine may have renewed, or a clock may have been set. */
const LOOK_AGAIN_MS = 6 * 3_600_000
const MAX_TIMER_MS = 60_000
/** While another machine renews, its success is looked for so often. */
const MIN_BUSY_MS = 1_000
const MAX_BUSY_MS = 60_000
const ORDER_DEADLINE_MS = 10 * 60_000
const MAX_COMMITS = 5
const COMMIT_AGAIN_MS = 1_000
const INFO_AGAIN_MS = 3_600_000
const MAX_DUE_AGAIN_MS = 12 * 3_600_000

/**
 * Keeps certificates fresh: orders what is not there, renews in time, tries again after failures, for ever. Nothing in
 * here rejects or throws on its own account; what goes wrong is an event.
 */
export class Renewer {
  readonly counts = { issued: 0, failed: 0 }
  readonly #options: RenewerOptions
  readonly #now: () => number
  readonly #random: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #isStarted = false
  readonly #lanes = new Set<Promise<void>>()
  /** Due, and waiting for a lane; each certificate is there once at most. */
  readonly #queue: { readonly entry: Entry; readonly resolve: () => void }[] = []

  constructor(options: RenewerOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#random = options.random ?? Math.random
  }

  /** All there are from now on. */
  setTargets(targets: readonly RenewalTarget[]): void {
    const wanted = new Set(targets.map(({ id }) => id))
    for (const id of this.#entries.keys()) if (!wanted.has(id)) this.#entries.delete(id)
    for (const target of targets) {
      const known = this.#entries.get(target.id)
      if (known === undefined) this.#entries.set(target.id, newEntry(target, false))
      else if (!sameNames(known.target.names, target.names)) {
        this.#entries.set(target.id, newEntry(target, true))
      }
    }
    this.#arm()
  }

  start(): void {
    this.#isStarted = true
    this.#arm()
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#isStarted = false
    this.#stopping.abort(new AcmeError('here', 'The proxy is stopping.'))
    await Promise.all(this.#lanes)
  }

  status(): RenewalStatus[] {
    return [...this.#entries.values()].map(({ target, nextAt, facts, failures, lastError }) => ({
      ...target,
      nextAt,
      notAfterAt: facts?.notAfterAt,
      failures,
      lastError,
    }))
  }

  /** Does what is due, and resolves when it is done. Called by the timer, and by tests that move the clock. */
  async tick(): Promise<void> {
    const now = this.#now()
    const done: Promise<void>[] = []
    for (const entry of this.#entries.values()) {
      if (entry.nextAt > now || entry.isUnderWay) continue
      entry.isUnderWay = true
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#queue.push({ entry, resolve })
      done.push(promise)
    }
    while (this.#lanes.size < MAX_CONCURRENT && this.#lanes.size < this.#queue.length) {
      const lane: Promise<void> = this.#work().finally(() => this.#lanes.delete(lane))
      this.#lanes.add(lane)
    }
    await Promise.all(done)
  }

  /** One after the other, until nobody waits any more. */
  async #work(): Promise<void> {
    // Begins behind its caller, so that all lanes of a tick begin.
    await Promise.resolve()
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (!this.#stopping.signal.aborted) await this.#attend(next.entry)
      next.entry.isUnderWay = false
      next.resolve()
    }
  }

  #arm(): void {
    clearTimeout(this.#timer)
    if (!this.#isStarted) return
    let nextAt = Number.POSITIVE_INFINITY
    for (const entry of this.#entries.values()) {
      if (!entry.isUnderWay) nextAt = Math.min(nextAt, entry.nextAt)
    }
    const waitMs = Math.min(Math.max(nextAt - this.#now(), 0), MAX_TIMER_MS)
    this.#timer = setTimeout(() => {
      void this.tick().finally(() => this.#arm())
      this.#arm()
    }, waitMs)
  }

  async #attend(entry: Entry): Promise<void> {
    try {
      const due = await this.#dueOf(entry)
      if (due.at > this.#now()) this.#planned(entry, due)
      else await this.#renew(entry)
    } catch (error) {
      // The vault or the leases are out of reach.
      this.#failed(entry, asError(error), entry.failures + 1, undefined)
    }
  }

  /** Looks at what is served now. */
  async #dueOf(entry: Entry): Promise<RenewalDue> {
    const { target } = entry
    const set = await this.#options.vault.current(target.id)
    entry.facts = factsOf(set)
    const window = set === null ? null : await this.#windowFor(entry, set)
    return renewalDue(entry.facts, target.names, window, this.#now())
  }

  #planned(entry: Entry, due: RenewalDue): void {
    const askAt = entry.window?.askAt ?? Number.POSITIVE_INFINITY
    entry.nextAt = Math.min(due.at, askAt, this.#now() + LOOK_AGAIN_MS)
    entry.failures = 0
    entry.lastError = undefined
    entry.isNew = false
  }

  async #windowFor(entry: Entry, { pairs }: CertificateSet): Promise<RenewalWindow | null> {
    const { facts } = entry
    if (facts === null) return null
    const now = this.#now()
    const known = entry.window?.fingerprint === facts.fingerprint ? entry.window : null
    if (known !== null && now < known.askAt) return known.window
    let window = known?.window ?? null
    let askAt = now + INFO_AGAIN_MS
    try {
      const { certificateIdentifier, renewalInfo } = await infoOf()
      const identifier = certificateIdentifier(pairs[0].certPem)
      const { session } = this.#options
      const info =
        identifier === null ? null : await renewalInfo(session, identifier, this.#stopping.signal)
      window = info?.window ?? null
      askAt = now + (info?.retryAfterMs ?? LOOK_AGAIN_MS)
    } catch (error) {
      if (!this.#stopping.signal.aborted) {
        this.#tell({ kind: 'no-renewal-info', id: entry.target.id, error: asError(error) })
      }
    }
    entry.window = { fingerprint: facts.fingerprint, window, askAt }
    return window
  }

  async #renew(entry: Entry): Promise<void> {
    const answer = await this.#options.lease.take(entry.target.id, entry.isNew)
    if (answer.kind === 'busy') {
      entry.nextAt = this.#now() + Math.min(Math.max(answer.retryAfterMs, MIN_BUSY_MS), MAX_BUSY_MS)
      return
    }
    const { lease } = answer
    const holding = new LeaseHolding(lease)
    try {
      // Whoever had the lease before may have renewed since we looked.
      const due = await this.#dueOf(entry)
      if (due.at > this.#now()) {
        await lease.release(0, 0)
        this.#planned(entry, due)
        return
      }
      await this.#order(entry, lease, due.reason, holding.signal)
      // One that is not given back ends by itself, here and below.
      await lease.release(0, 0).catch(() => {})
    } catch (error) {
      this.#failed(entry, asError(error), lease.failures + 1, lease)
    } finally {
      holding.end()
    }
  }

  async #order(
    entry: Entry,
    lease: HeldLease,
    reason: RenewalReason,
    held: AbortSignal,
  ): Promise<void> {
    const { session, board, keyType, challenges } = this.#options
    const { id, names } = entry.target
    this.#tell({ kind: 'ordering', id, names, reason })
    const signal = AbortSignal.any([
      held,
      this.#stopping.signal,
      AbortSignal.timeout(ORDER_DEADLINE_MS),
    ])
    const first = lease.failures % challenges.length
    const pair = await orderCertificate(session, {
      names: [...new Set(names)],
      keyType,
      challenges: [...challenges.slice(first), ...challenges.slice(0, first)],
      board,
      replaces: await this.#replacedBy(id, reason),
      signal,
    })
    const version = await this.#commit(entry.target, pair, lease, signal)
    const due = await this.#dueOf(entry)
    this.counts.issued++
    this.#planned(entry, due)
    const now = this.#now()
    const { notBeforeAt, notAfterAt } = entry.facts ?? { notBeforeAt: now, notAfterAt: now }
    const isDueAgain = due.at <= now
    // Never order after order, whatever clocks and windows say.
    if (isDueAgain) entry.nextAt = now + Math.min((notAfterAt - notBeforeAt) / 3, MAX_DUE_AGAIN_MS)
    this.#tell({ kind: 'issued', id, names, version, notAfterAt, isDueAgain })
  }

  /** RFC 9773 §5: only what is for the same names is said to be replaced. */
  async #replacedBy(id: string, reason: RenewalReason): Promise<string | undefined> {
    if (reason === 'first' || reason === 'names') return undefined
    const set = await this.#options.vault.current(id)
    if (set === null) return undefined
    const { certificateIdentifier } = await infoOf()
    return certificateIdentifier(set.pairs[0].certPem) ?? undefined
  }

  /** A certificate that has been issued is worth some patience. */
  async #commit(
    { id, names }: RenewalTarget,
    pair: CertificatePair,
    lease: HeldLease,
    signal: AbortSignal,
  ): Promise<number> {
    for (let commits = 1; ; commits++) {
      try {
        if (!(await lease.extend())) throw leaseLost()
        return await this.#options.vault.commit(id, names, [pair], lease.fence)
      } catch (error) {
        if (commits >= MAX_COMMITS || isLeaseLost(error)) throw error
        await sleep(COMMIT_AGAIN_MS * commits, undefined, { signal })
      }
    }
  }

  #failed(entry: Entry, error: Error, failures: number, lease: HeldLease | undefined): void {
    const { id, names } = entry.target
    const now = this.#now()
    const known = error instanceof AcmeError ? error : undefined
    const restMs = retryDelayMs(
      {
        failures,
        fault: known?.fault ?? 'unreachable',
        isRateLimited: known?.problem?.type === 'rateLimited' || known?.problem?.status === 429,
        retryAfterMs: known?.retryAfterMs,
        timeLeftMs: (entry.facts?.notAfterAt ?? 0) - now,
      },
      this.#random(),
    )
    entry.isNew = false
    if (this.#stopping.signal.aborted) {
      // Not the authority's fault, and nobody has to wait for it.
      void lease?.release(lease.failures, 0).catch(() => {})
      return
    }
    void lease?.release(failures, restMs).catch(() => {})
    entry.failures = failures
    entry.lastError = error.message
    entry.nextAt = now + restMs
    this.counts.failed++
    const notAfterAt = entry.facts?.notAfterAt
    this.#tell({ kind: 'failed', id, names, error, failures, retryAt: entry.nextAt, notAfterAt })
  }

  #tell(event: RenewalEvent): void {
    this.#options.onEvent(event)
  }
}

/** Loaded when there is a certificate to ask about: the X.509 library is large. */
function infoOf() {
  return import('./renewal-info.ts')
}

/** Of the pair that expires first; null when there is none, or none that can be read. */
function factsOf(set: CertificateSet | null): CertificateFacts | null {
  let first: CertificateFacts | null = null
  for (const pair of set?.pairs ?? []) {
    const check = checkPair(pair, '', '')
    if (!check.ok) return null
    if (first === null || check.facts.notAfterAt < first.notAfterAt) first = check.facts
  }
  return first
}

function newEntry(target: RenewalTarget, isNew: boolean): Entry {
  return {
    target,
    nextAt: 0,
    facts: null,
    window: null,
    failures: 0,
    lastError: undefined,
    isNew,
    isUnderWay: false,
  }
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index])
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

import cluster from 'node:cluster'
import { flushCompileCache } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { CertificateSet } from '@larder/certs'
import { ChallengeRegistry } from '@larder/certs/challenges'
import type { PurgeMessage } from '@larder/purge-bus'
import { createLogger } from '../observability/logger.ts'
import { WorkerMetrics } from '../observability/metrics.ts'
import type { PurgeAnswer } from '../purge/purge-request.ts'
import { BEAT_INTERVAL_MS, type FromWorker, type ToWorker } from '../supervisor/messages.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

/**
 * Entry of a worker process: everything that ties the worker to its primary, so that `start-worker.ts` can be run
 * and tested without one.
 */

let logger = createLogger({ level: 'info' })
const metrics = new WorkerMetrics()
let running: RunningWorker | undefined
let isDraining = false
const challenges = new ChallengeRegistry()
const invalidated = new Set<string>()
/** What came while the worker was starting. */
let early: ToWorker[] = []
/** PURGE requests that wait for the primary's answer. */
const purging = new Map<number, (answer: PurgeAnswer) => void>()
let nextPurgeId = 1
/** Questions for certificates. */
const asking = new Map<number, (set: CertificateSet | null) => void>()
let nextQuestionId = 1

const INVALIDATION_GATHER_MS = 5
const MAX_GATHERED_KEYS = 1000
const LAG_RESOLUTION_MS = 20
/** Questions for certificates without an answer; the store waits for fewer, and not for long. */
const MAX_CERTIFICATE_QUESTIONS = 10_000
/** PURGE requests of one worker that wait for their receipt. */
const MAX_PURGE_REQUESTS = 10_000
const TOO_MANY_PURGES: PurgeAnswer = {
  status: 503,
  body: { type: 'about:blank', title: 'Too many purges wait for their receipt.', status: 503 },
}
const eventLoopDelay = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
eventLoopDelay.enable()
setInterval(beat, BEAT_INTERVAL_MS)

// A failure that nobody handled leaves state that nobody knows: end, and be replaced.
process.on('uncaughtException', (error) => die(error, 'uncaught exception'))
process.on('unhandledRejection', (reason) => die(reason, 'unhandled rejection'))

// The primary decides about signals; those that a terminal sends to the whole process group are its own copy.
process.on('SIGINT', () => {})
process.on('SIGHUP', () => {})
process.on('SIGUSR2', () => {})
process.on('SIGTERM', () => void drain(10_000))

// Without a primary nobody would replace, reload or stop this worker, and its port would stay taken.
// node:cluster would end the process at once: this flag tells it that the disconnect is dealt with.
if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
process.on('disconnect', () => {
  if (!isDraining) logger.warn('the primary is gone: draining')
  void drain(10_000)
})

process.on('message', (message: ToWorker, handle: unknown) => {
  receive(message, handle).catch((error: unknown) => die(error, 'a message could not be handled'))
})

async function receive(message: ToWorker, handle: unknown): Promise<void> {
  switch (message.type) {
    case 'start':
      return start(message)
    case 'listen':
      return listen(message, handle)
    case 'close-listener':
      running?.closeListener(message.address)
      return
    case 'configure':
      return configure(message)
    case 'invalidate':
      running?.invalidate(message.keys)
      return
    case 'ticket-keys':
      running?.setTicketKeys(message.keys)
      return
    case 'purges':
    case 'purge-floor':
    case 'purge-bus':
      return applyPurges(message)
    case 'purge-answer':
      purging.get(message.id)?.(message.answer)
      purging.delete(message.id)
      return
    case 'challenges':
      challenges.replaceAll(message.answers)
      tell({ type: 'challenges-known', id: message.id })
      return
    case 'certificate-names':
    case 'certificates-changed':
      return applyCertificates(message)
    case 'certificate':
      asking.get(message.id)?.(message.set)
      asking.delete(message.id)
      return
    case 'take-census': {
      const { id, query } = message
      tell({ type: 'census', id, census: await started().census(query) })
      return
    }
    case 'drain':
      return drain(message.deadlineMs)
  }
}

async function start(message: Extract<ToWorker, { type: 'start' }>): Promise<void> {
  const { config, slot, identity } = message
  logger = createLogger({ level: config.logging.level, bindings: { worker: slot } })
  try {
    running = await startWorker({
      config,
      slot,
      metrics,
      logger,
      announceInvalidation,
      peers: message.peers,
      purgeTable: message.purgeTable,
      challenges,
      publishPurge,
      certificates: { names: message.certificateNames, ask: askCertificate },
    })
    running.setTicketKeys(message.ticketKeys)
    const waiting = early
    early = []
    for (const one of waiting) {
      if (one.type === 'certificate-names' || one.type === 'certificates-changed') {
        applyCertificates(one)
      } else applyPurges(one)
    }
    // Now, while the folder can still be written: the next worker finds what this one has compiled.
    flushCompileCache()
    if (identity !== undefined) {
      process.setgroups?.([identity.gid])
      process.setgid?.(identity.gid)
      process.setuid?.(identity.uid)
    }
    running.openTiers()
    tell({ type: 'started' })
  } catch (error) {
    tell({ type: 'start-failed', message: messageOf(error) })
  }
}

function applyPurges(message: ToWorker): void {
  if (running === undefined) {
    early.push(message)
    return
  }
  const { purges } = running
  if (message.type === 'purge-bus') return purges.heard(message.state, message.pendingAfter)
  if (message.type === 'purges') purges.apply(message.purges)
  else if (message.type === 'purge-floor') purges.raiseFloor(message.number)
  tell({ type: 'purged', number: purges.number })
}

function applyCertificates(
  message: Extract<ToWorker, { type: 'certificate-names' | 'certificates-changed' }>,
): void {
  if (running === undefined) {
    early.push(message)
    return
  }
  const { certificates } = running
  if (message.type === 'certificate-names') return certificates.learn(message.names)
  certificates.changed(message.names, message.hasFallback)
  tell({ type: 'certificates-seen', number: message.number })
}

function askCertificate(pattern: string): Promise<CertificateSet | null> {
  if (asking.size >= MAX_CERTIFICATE_QUESTIONS) {
    return Promise.reject(new Error('The primary does not answer.'))
  }
  const id = nextQuestionId++
  return new Promise((resolve) => {
    asking.set(id, resolve)
    tell({ type: 'ask-certificate', id, pattern })
  })
}

function publishPurge(message: PurgeMessage): Promise<PurgeAnswer> {
  if (purging.size >= MAX_PURGE_REQUESTS) return Promise.resolve(TOO_MANY_PURGES)
  const id = nextPurgeId++
  return new Promise((resolve) => {
    purging.set(id, resolve)
    tell({ type: 'purge', id, message })
  })
}

async function listen(
  message: Extract<ToWorker, { type: 'listen' }>,
  handle: unknown,
): Promise<void> {
  const { listener, options } = message
  const { address } = listener
  try {
    await started().listen(listener, options ?? handle)
    tell({ type: 'listening', address })
  } catch (error) {
    tell({ type: 'listen-failed', address, message: `${address}: ${messageOf(error)}` })
  }
}

async function configure(message: Extract<ToWorker, { type: 'configure' }>): Promise<void> {
  const { id, config } = message
  try {
    await started().configure(config)
    tell({ type: 'configured', id, error: undefined })
  } catch (error) {
    tell({ type: 'configured', id, error: messageOf(error) })
  }
}

async function drain(deadlineMs: number): Promise<void> {
  if (isDraining) return
  isDraining = true
  // Whatever keeps the worker from finishing, it ends.
  setTimeout(() => process.exit(0), deadlineMs).unref()
  await running?.drain(deadlineMs)
  tellInvalidated()
  beat()
  tell({ type: 'drained' }, () => process.exit(0))
}

/** Gathered for a moment: a flood of unsafe requests becomes a few messages, not one each. */
function announceInvalidation(keys: readonly string[]): void {
  if (invalidated.size === 0) setTimeout(tellInvalidated, INVALIDATION_GATHER_MS)
  for (const key of keys) invalidated.add(key)
  if (invalidated.size >= MAX_GATHERED_KEYS) tellInvalidated()
}

function tellInvalidated(): void {
  if (invalidated.size === 0) return
  tell({ type: 'invalidated', keys: [...invalidated] })
  invalidated.clear()
}

function beat(): void {
  // It measures the interval between its own ticks: what exceeds the one it asked for is the delay.
  const lag = Math.max(0, eventLoopDelay.percentile(99) / 1e9 - LAG_RESOLUTION_MS / 1000)
  eventLoopDelay.reset()
  tell({
    type: 'beat',
    metrics: running?.metrics(),
    residentBytes: process.memoryUsage.rss(),
    eventLoopLagSeconds: lag,
    diskHits: running?.takeDiskHits() ?? [],
  })
}

function tell(message: FromWorker, then: () => void = () => {}): void {
  if (process.connected && process.send !== undefined) {
    // When the channel has just closed, 'disconnect' follows and is what is acted upon.
    process.send(message, undefined, undefined, then)
  } else {
    then()
  }
}

function started(): RunningWorker {
  if (running === undefined) throw new Error('The worker has not started.')
  return running
}

function die(error: unknown, what: string): never {
  logger.fatal({ err: error }, what)
  process.exit(1)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

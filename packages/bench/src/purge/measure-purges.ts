import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Receipt } from '@larder/purge-bus'
import { type Fleet, type FleetMachine, residentMiB, startFleet } from './fleet.ts'
import type { LoadReport } from './paced-load.ts'
import { type Latencies, latencies } from './percentile.ts'
import type { Order, Published } from './publisher.ts'

export interface PurgeBench {
  readonly folder: string
  readonly machines: number
  readonly workers: number
  /** Purges whose way to the last worker is measured. */
  readonly purges: number
  readonly requestsPerSecond: number
  readonly sustained: { readonly perSecond: number; readonly seconds: number }
  readonly burst: number
}

export interface PurgeFigures {
  /** From the call to the last worker's acknowledgement, ms: with nothing else to do, and under load. */
  readonly idle: Latencies
  readonly loaded: Latencies
  /** Answers to the load beside no more than those purges, ms. */
  readonly requestsBefore: LoadReport
  readonly sustained: {
    readonly published: Published
    /** Purges of the machines themselves meanwhile, ms. */
    readonly purges: Latencies
    /** Of these, not in force everywhere after a minute. */
    readonly late: number
    readonly requests: LoadReport
    /** Of the primary that has the most, MiB: before, at most, 5 s after. */
    readonly primaryMiB: readonly [before: number, most: number, after: number]
    /** From the answer of the last until everything was in force everywhere, ms. */
    readonly behindMs: number
  }
  readonly burst: {
    readonly published: Published
    /** From the first until all were in force everywhere, ms. */
    readonly inForceMs: number
    readonly primaryMiB: number
  }
}

const PAGES = 100
const BETWEEN_PURGES_MS = 10
const BETWEEN_SAMPLES_MS = 200
const WARM_UP_PURGES = 20

export async function measurePurges(bench: PurgeBench): Promise<PurgeFigures> {
  const origin = createServer((_, response) => {
    response.setHeader('cache-control', 'max-age=86400')
    response.setHeader('surrogate-key', 'page')
    response.end(Buffer.alloc(1024, 'x'))
  })
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  // A server that listens on TCP has an address with a port.
  const originPort = (origin.address() as AddressInfo).port
  try {
    const fleet = await startFleet({ ...bench, originPort })
    try {
      return await measure(fleet, bench)
    } finally {
      await fleet.stop()
    }
  } finally {
    origin.close()
    origin.closeAllConnections()
  }
}

async function measure(fleet: Fleet, bench: PurgeBench): Promise<PurgeFigures> {
  const { purges, requestsPerSecond } = bench
  await everybodyIsThere(fleet, bench)
  await purgeTimes(fleet, WARM_UP_PURGES)
  const idle = latencies(await purgeTimes(fleet, purges))

  const paths = Array.from({ length: PAGES }, (_, index) => `/${index}`)
  const load = await fleet.startLoad({ paths, requestsPerSecond })
  await wait(2_000)
  await reportOf(load)
  const loaded = latencies(await purgeTimes(fleet, purges))
  const requestsBefore = await reportOf(load)

  const publisher = await fleet.startPublisher()
  const sustained = await measureSustained(fleet, bench, load, publisher)
  const burst = await measureBurst(fleet, bench, publisher)
  return { idle, loaded, requestsBefore, sustained, burst }
}

async function everybodyIsThere(fleet: Fleet, { machines, workers }: PurgeBench): Promise<void> {
  const endsAt = performance.now() + 30_000
  for (;;) {
    const receipt = await purge(fleet.machines[0])
    if (receipt.machines === machines && receipt.workers === machines * workers) return
    if (performance.now() > endsAt) throw new Error(`Not all are there: ${JSON.stringify(receipt)}`)
    await wait(100)
  }
}

async function measureSustained(
  fleet: Fleet,
  { sustained: { perSecond, seconds } }: PurgeBench,
  load: ChildProcess,
  publisher: ChildProcess,
): Promise<PurgeFigures['sustained']> {
  const before = mostMiB(fleet)
  let most = before
  await reportOf(load)
  const publishing = ordered(publisher, { count: perSecond * seconds, perSecond })
  let isOver = false
  void publishing.then(() => {
    isOver = true
  })
  const took: number[] = []
  let late = 0
  while (!isOver) {
    const { slowestMs } = await purge(fleet.machines[took.length % fleet.machines.length])
    if (slowestMs === null) late++
    else took.push(slowestMs)
    most = Math.max(most, mostMiB(fleet))
    await wait(BETWEEN_SAMPLES_MS)
  }
  const requests = await reportOf(load)
  const published = await publishing
  const endedAt = performance.now()
  await purge(fleet.machines[0])
  const behindMs = performance.now() - endedAt
  await wait(5_000)
  const primaryMiB = [before, most, mostMiB(fleet)] as const
  return { published, purges: latencies(took), late, requests, primaryMiB, behindMs }
}

async function measureBurst(
  fleet: Fleet,
  { burst }: PurgeBench,
  publisher: ChildProcess,
): Promise<PurgeFigures['burst']> {
  const startedAt = performance.now()
  const published = await ordered(publisher, { count: burst, perSecond: 0 })
  // It has a higher number than all of them.
  const { state } = await purge(fleet.machines[0])
  if (state !== 'applied') throw new Error(`A minute after the burst it is still ${state}.`)
  const inForceMs = performance.now() - startedAt
  return { published, inForceMs, primaryMiB: mostMiB(fleet) }
}

async function purgeTimes({ machines }: Fleet, count: number): Promise<number[]> {
  const took: number[] = []
  for (let index = 0; index < count; index++) {
    const receipt = await purge(machines[index % machines.length])
    if (receipt.slowestMs === null) throw new Error(`A purge is late: ${JSON.stringify(receipt)}`)
    took.push(receipt.slowestMs)
    await wait(BETWEEN_PURGES_MS)
  }
  return took
}

async function purge({ adminUrl }: FleetMachine): Promise<Receipt> {
  const message = { type: 'tag', tenant: 'bench', tags: ['nothing'], wait: '60s' }
  const response = await fetch(`${adminUrl}/api/v1/purge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(message),
  })
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  // What the admin API answers to a purge.
  return (await response.json()) as Receipt
}

async function ordered(publisher: ChildProcess, order: Order): Promise<Published> {
  const answer = once(publisher, 'message')
  publisher.send(order)
  return (await answer)[0]
}

async function reportOf(load: ChildProcess): Promise<LoadReport> {
  const answer = once(load, 'message')
  load.send('report')
  return (await answer)[0]
}

function mostMiB({ machines }: Fleet): number {
  return Math.max(...machines.map(({ pid }) => residentMiB(pid)))
}

import { setTimeout as wait } from 'node:timers/promises'
import type { PurgeMessage, Receipt } from '@larder/purge-bus'
import type { RedisServer } from '../../support/redis-server.ts'
import { covers, type Page } from './page.ts'
import type { Promised, Promises } from './promises.ts'
import type { Random } from './random.ts'
import type { TorturedMachine } from './tortured-machine.ts'

export interface Purging {
  readonly machines: readonly TorturedMachine[]
  readonly pages: readonly Page[]
  readonly promises: Promises
  readonly random: Random
  readonly redis: RedisServer
  readonly isOver: () => boolean
  /** False while messages are being dropped, so that nobody may have heard what has no number. */
  readonly isHeard: () => boolean
}

/** What became of purges, by how they were answered. */
export type Answered = Record<string, number>

/** Changes pages and purges them, by every door. */
export async function keepPurging(purging: Purging, answered: Answered): Promise<void> {
  const { pages, promises, random, isOver } = purging
  while (!isOver()) {
    await wait(random.between(10, 250))
    const message = someMessage(pages, random)
    for (const page of pages) {
      if (random.chance(covers(message, page) ? 0.7 : 0.02)) promises.change(page)
    }
    const outcome = await sendPurge(purging, message)
    answered[outcome] = (answered[outcome] ?? 0) + 1
  }
}

function someMessage(pages: readonly Page[], random: Random): PurgeMessage {
  const { tenant, url, tags } = random.pick(pages)
  const soft = random.chance(0.25)
  const kind = random.next()
  if (kind < 0.35) return { type: 'url', urls: [url, random.pick(pages).url], soft }
  if (kind < 0.55) return { type: 'prefix', prefixes: [url.slice(0, -1)], soft }
  if (kind < 0.9 || tags.length === 0) {
    return { type: 'tag', tenant, tags: [random.pick(['shop', 't-0', 't-1', 't-2', 't-3'])], soft }
  }
  return kind < 0.97 ? { type: 'tenant', tenant, soft } : { type: 'all', soft }
}

async function sendPurge(purging: Purging, message: PurgeMessage): Promise<string> {
  const { random, machines } = purging
  const machine = random.pick(machines)
  const door = random.next()
  if (door < 0.15) return byRedis(purging, message)
  if (door < 0.35 && message.type === 'url') return byPurge(purging, machine, message)
  return byAdmin(purging, machine, message)
}

async function byAdmin(
  purging: Purging,
  machine: TorturedMachine,
  message: PurgeMessage,
): Promise<string> {
  const { promises, random } = purging
  const purge = promises.sending(message, `HTTP at machine ${machine.index}`)
  const wanted = { ...message, ...(message.type === 'all' ? { confirm: true } : {}) }
  const waitMs = random.pick([0, 200, 5_000, 5_000])
  const { status, body } = await machine.post({ ...wanted, wait: `${waitMs}ms` })
  return took(purging, purge, machine, status, body)
}

async function byPurge(
  purging: Purging,
  machine: TorturedMachine,
  message: PurgeMessage & { type: 'url' },
): Promise<string> {
  const { promises } = purging
  const one = { ...message, urls: message.urls.slice(0, 1) }
  const purge = promises.sending(one, `PURGE at machine ${machine.index}`)
  try {
    const { status, body } = await machine.purge(new URL(one.urls[0]), one.soft)
    return took(purging, purge, machine, status, body)
  } catch (error) {
    // Its worker was killed; nobody knows whether it was heard.
    if (!machine.mayHaveCut) throw error
    return 'cut'
  }
}

/** Nobody answers: it is in force when every machine has had the time to hear it. */
async function byRedis(purging: Purging, message: PurgeMessage): Promise<string> {
  const { promises, machines, redis, isHeard } = purging
  if (!isHeard() || !machines.every(({ index }) => promises.isWell(index))) return 'not sent'
  const purge = promises.sending(message, 'redis-cli')
  try {
    const text = await redis.cli('publish', 'larder:purge', inWords(message))
    const later = machines.map(({ index }) => index)
    const isKept = isHeard() && later.every((index) => promises.isWell(index)) && Number(text) > 0
    if (isKept) {
      promises.promised(purge, { now: [], later, isFragile: true }, `${text} receivers`)
    }
    return 'published'
  } catch {
    // Redis was killed.
    return 'cut'
  }
}

function inWords(message: PurgeMessage): string {
  const soft = message.soft ? 'soft ' : ''
  switch (message.type) {
    case 'url':
      return `${soft}url ${message.urls.join(' ')}`
    case 'prefix':
      return `${soft}prefix ${message.prefixes.join(' ')}`
    case 'tag':
      return `${soft}tag ${message.tenant} ${message.tags.join(' ')}`
    case 'tenant':
      return `${soft}tenant ${message.tenant}`
    case 'all':
      return `${soft}all`
  }
}

function took(
  { promises, machines }: Purging,
  purge: ReturnType<Promises['sending']>,
  at: TorturedMachine,
  status: number,
  receipt: Receipt,
): string {
  const text = `${status} ${JSON.stringify(receipt)}`
  if (status !== 200 && status !== 202) throw new Error(`${purge.name} was answered ${text}`)
  promises.promised(purge, promisedBy(machines, at, receipt), text)
  return `${status} ${receipt.state}`
}

/** What a receipt promises of each machine. */
export function promisedBy(
  machines: readonly Pick<TorturedMachine, 'index' | 'name'>[],
  at: Pick<TorturedMachine, 'index'>,
  receipt: Pick<Receipt, 'state' | 'machines' | 'missing'>,
): Promised {
  const missing = new Set(receipt.missing.map(({ machine }) => machine))
  // Otherwise there is a machine that it does not know at present: Redis has forgotten it.
  const knowsAll = receipt.machines + missing.size === machines.length
  const [now, later]: [number[], number[]] = [[], []]
  for (const { index, name } of machines) {
    const isThere = !missing.has(name) && (knowsAll || index === at.index)
    if (isThere) now.push(index)
    else later.push(index)
  }
  return receipt.state === 'pending' ? { now, later, from: at.index } : { now, later }
}

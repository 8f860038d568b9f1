import { hash, randomUUID } from 'node:crypto'
import { scheduledId } from '../purge-id.ts'
import type { NumberedPurge, PurgeMessage } from '../purge-message.ts'
import type { Names } from './names.ts'
import type { RedisClient } from './redis-place.ts'
import { BEAT, COMPLAIN, PUBLISH, RESTORE } from './scripts.ts'

/** Where a machine stands. */
export interface Standing {
  /** '' = it has never heard of any. */
  readonly epoch: string
  /** All numbers up to this one are applied. */
  readonly position: number
}

export interface Beat {
  readonly epoch: string
  /** The highest number given. */
  readonly seq: number
  /** The lowest number that the log still has. */
  readonly first: number
  /** The highest number that the caller's epoch certainly has in common with this one. */
  readonly kept: number
  readonly settlesInMs: number
  readonly history: string
  /** Undefined = nothing is scheduled. */
  readonly nextDueInMs: number | undefined
  readonly scheduled: number
  readonly machines: readonly MachineRecord[]
}

export interface MachineRecord {
  readonly name: string
  /** Since it was heard of, by Redis's clock. */
  readonly silentMs: number
  readonly workers: Readonly<Record<string, number>>
}

export interface ToNumber {
  readonly message: PurgeMessage
  /** The message as JSON. */
  readonly text: string
  /** When it has to have one number though several may ask for it; `heard`: see `PUBLISH`. */
  readonly once?: { readonly id: string; readonly heard: number }
}

export type Numbering = { readonly number: number } | { readonly due: string } | 'full'

export interface LogEntry extends NumberedPurge {
  /** The number before it. */
  readonly previous: number
}

export interface PurgeLogOptions {
  readonly maxLog: number
  readonly settleMs: number
  readonly maxReferences: number
  readonly maxScheduled: number
}

/** The sequence in Redis: every call is one round trip, and rejects when there is no answer. */
export class PurgeLog {
  readonly #client: RedisClient
  readonly #names: Names
  readonly #options: PurgeLogOptions

  constructor(client: RedisClient, names: Names, options: PurgeLogOptions) {
    this.#client = client
    this.#names = names
    this.#options = options
  }

  get connected(): boolean {
    return this.#client.status === 'ready'
  }

  /** `machine` '' = the caller is none. */
  async beat(standing: Standing, machine: string, workers: object): Promise<Beat> {
    const names = this.#names
    const keys = [
      ...[names.state, names.log, names.machines, names.references, names.referenceTimes],
      ...[names.due, names.dueMessages],
    ]
    const { maxLog, maxReferences } = this.#options
    const words = [machine, JSON.stringify(workers), names.numbered, maxLog, maxReferences]
    const reply = await this.#run(BEAT, keys, [...this.#begin(standing), ...words])
    return readBeat(reply as BeatReply)
  }

  /** 'settling', 'epoch' (the caller's has ended): nothing was done. */
  async publish(
    standing: Standing,
    list: readonly ToNumber[],
  ): Promise<readonly Numbering[] | 'settling' | 'epoch'> {
    const names = this.#names
    const keys = [
      ...[names.state, names.log, names.references, names.referenceTimes],
      ...[names.due, names.dueMessages],
      ...list.map(({ once }) => names.raw(once?.id ?? '')),
    ]
    const { maxLog, maxReferences, maxScheduled } = this.#options
    const words: (string | number)[] = [names.numbered, maxLog, maxReferences, maxScheduled]
    for (const { message, text, once } of list) {
      const { reference = '', at } = message
      const due = at === undefined ? ['', ''] : [`${at}`, scheduledId(message)]
      words.push(text, reference, once?.id ?? '', once?.heard ?? '', ...due)
    }
    const reply = await this.#run(PUBLISH, keys, [...this.#begin(standing), ...words])
    if (reply === 'settling' || reply === 'epoch') return reply
    return (reply as string[]).map(readNumbering)
  }

  /**
   * Gives Redis back what it has lost; `from`: number of the first of the remembered. `seen`: the epoch that Redis is in
   * now, and the history that the caller knew before.
   */
  async restore(
    standing: Standing,
    seen: { readonly epoch: string; readonly history: string },
    from: number,
    remembered: readonly string[],
  ): Promise<{ done: 'epoch' | 'known' | 'restored' | 'renumbered'; seq: number }> {
    const { state, log, numbered } = this.#names
    const words = [seen.epoch, numbered, this.#options.maxLog, seen.history, from, ...remembered]
    const all = [...this.#begin(standing), ...words]
    const [done, seq] = (await this.#run(RESTORE, [state, log], all)) as [
      'epoch' | 'known' | 'restored' | 'renumbered',
      string,
    ]
    return { done, seq: Number(seq) }
  }

  /** What the log has after this number, at most so much. */
  async read(after: number, count: number): Promise<LogEntry[]> {
    const from = `${after + 1}-0`
    const entries = await this.#client.xrange(this.#names.log, from, '+', 'COUNT', count)
    return entries.map(([id, fields]) => {
      const number = Number.parseInt(id, 10)
      const field = (name: string) => {
        const at = fields.indexOf(name)
        return at % 2 === 0 ? fields[at + 1] : undefined
      }
      const previous = Number(field('p') ?? number - 1)
      return { number, previous, message: readLogged(field('m') ?? '') }
    })
  }

  /** A number that a reference, or a scheduled purge, has led to; 'due' as long as it has none. */
  async find(id: string): Promise<number | 'due' | undefined> {
    const { references, due } = this.#names
    const [number, at] = await Promise.all([
      this.#client.hget(references, id),
      this.#client.zscore(due, id),
    ])
    if (number !== null && !number.startsWith('due')) return Number(number)
    return at === null ? undefined : 'due'
  }

  /** Once, however many machines make it. */
  async complain(text: string, reason: string): Promise<void> {
    const key = this.#names.bad(hash('sha256', text, 'hex').slice(0, 32))
    const complaint = JSON.stringify({ message: text.slice(0, 1_000), reason })
    await this.#run(COMPLAIN, [key], [this.#names.errors, complaint])
  }

  async acknowledge(machine: string, workers: object): Promise<void> {
    await this.#client.publish(this.#names.acks, JSON.stringify({ machine, workers }))
  }

  async forgetMachine(machine: string): Promise<void> {
    await this.#client.hdel(this.#names.machines, machine)
  }

  #begin({ epoch, position }: Standing): (string | number)[] {
    return [randomUUID(), this.#options.settleMs, epoch, position]
  }

  async #run(
    script: string,
    keys: readonly string[],
    words: readonly (string | number)[],
  ): Promise<unknown> {
    const client = this.#client
    try {
      return await client.evalsha(shaOf(script), keys.length, ...keys, ...words)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return client.eval(script, keys.length, ...keys, ...words)
    }
  }
}

const SHAS = new Map<string, string>()

/** By which Redis knows a script that it has run once. */
function shaOf(script: string): string {
  const known = SHAS.get(script)
  if (known !== undefined) return known
  const sha = hash('sha1', script, 'hex')
  SHAS.set(script, sha)
  return sha
}

/** As `BEAT` describes it. */
type BeatReply = readonly [
  ...[epoch: string, seq: string, first: string, kept: string, settlesIn: string],
  ...[history: string, nextDueIn: string, scheduled: string, now: string],
  machines: readonly string[],
]

function readBeat(reply: BeatReply): Beat {
  const [epoch, seq, first, kept, settlesIn, history, nextDueIn, scheduled, now, machines] = reply
  return {
    epoch,
    seq: Number(seq),
    first: Number(first),
    kept: Number(kept),
    settlesInMs: Number(settlesIn),
    history,
    nextDueInMs: nextDueIn === '-1' ? undefined : Number(nextDueIn),
    scheduled: Number(scheduled),
    machines: readMachines(machines, Number(now)),
  }
}

function readNumbering(answer: string): Numbering {
  if (answer === 'full') return 'full'
  return answer.startsWith('due ') ? { due: answer.slice(4) } : { number: Number(answer) }
}

function readMachines(fields: readonly string[], now: number): MachineRecord[] {
  const machines: MachineRecord[] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const space = fields[i + 1].indexOf(' ')
    const at = Number(fields[i + 1].slice(0, space))
    const workers = numbersOf(readJson(fields[i + 1].slice(space + 1)))
    machines.push({ name: fields[i], silentMs: Math.max(0, now - at), workers })
  }
  return machines
}

/** How far the workers of a machine are, as it has said on the channel; null when it is something else. */
export function readAcknowledgement(
  text: string,
): { readonly machine: string; readonly workers: Readonly<Record<string, number>> } | null {
  const said = readJson(text)
  if (said === null || !('machine' in said) || typeof said.machine !== 'string') return null
  return { machine: said.machine, workers: 'workers' in said ? numbersOf(said.workers) : {} }
}

function readJson(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? value : null
  } catch {
    // Someone else's: as good as nothing.
    return null
  }
}

function numbersOf(value: unknown): Record<string, number> {
  if (typeof value !== 'object' || value === null) return {}
  const pairs = Object.entries(value).filter(([, number]) => Number.isFinite(number))
  // What is left has numbers as values.
  return Object.fromEntries(pairs) as Record<string, number>
}

const TYPES: readonly unknown[] = ['url', 'prefix', 'tag', 'tenant', 'all']

/** What is in the log was understood by whoever put it there. What this version does not know purges everything. */
export function readLogged(text: string): PurgeMessage {
  try {
    return asLogged(JSON.parse(text))
  } catch {
    return { type: 'all', soft: false }
  }
}

export function asLogged(value: unknown): PurgeMessage {
  const isKnown = typeof value === 'object' && value !== null && 'type' in value
  return isKnown && TYPES.includes(value.type)
    ? (value as PurgeMessage)
    : { type: 'all', soft: false }
}

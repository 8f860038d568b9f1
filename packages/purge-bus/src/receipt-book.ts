import type { MissingWorker, Receipt } from './receipt.ts'

/** Purges whose receipts are remembered with their time. */
const MAX_REMEMBERED = 10_000
/** Purges that wait for acknowledgements. */
const MAX_WAITING = 200_000

interface Machine {
  alive: boolean
  /** The highest number that each worker has applied. */
  readonly workers: Map<string, number>
}

interface Tracked {
  readonly number: number
  /** ms, monotonic. */
  readonly startedAt: number
  settled: {
    readonly slowestMs: number
    readonly machines: number
    readonly workers: number
  } | null
  onSettled: (() => void)[]
}

/** Who has applied what: the workers of this machine, and with Redis those of the others. */
export class ReceiptBook {
  readonly #machines = new Map<string, Machine>()
  readonly #tracked = new Map<number, Tracked>()
  /** Not settled yet, rising from `#head`. */
  #waiting: Tracked[] = []
  #head = 0

  get machines(): number {
    return this.#machines.size
  }

  /** Of one machine: workers that are not named have gone. A number never falls. */
  setMachine(name: string, alive: boolean, workers: Readonly<Record<string, number>>): void {
    const machine = this.#machine(name)
    machine.alive = alive
    for (const worker of machine.workers.keys()) {
      if (!Object.hasOwn(workers, worker)) machine.workers.delete(worker)
    }
    for (const [worker, number] of Object.entries(workers)) raise(machine.workers, worker, number)
    this.#settle()
  }

  removeMachine(name: string): void {
    if (this.#machines.delete(name)) this.#settle()
  }

  setWorker(machine: string, worker: string, number: number): void {
    raise(this.#machine(machine).workers, worker, number)
    this.#settle()
  }

  /** A new worker under an old name: its number may be lower than its predecessor's. */
  addWorker(machine: string, worker: string, number: number): void {
    this.#machine(machine).workers.set(worker, number)
    this.#settle()
  }

  removeWorker(machine: string, worker: string): void {
    this.#machines.get(machine)?.workers.delete(worker)
    this.#settle()
  }

  workersOf(machine: string): Record<string, number> {
    return Object.fromEntries(this.#machines.get(machine)?.workers ?? [])
  }

  machineNames(): string[] {
    return [...this.#machines.keys()]
  }

  /** Begins to watch over a purge. `startedAt` in ms, monotonic. */
  track(number: number, startedAt: number): void {
    if (this.#tracked.has(number)) return
    const tracked: Tracked = { number, startedAt, settled: null, onSettled: [] }
    this.#tracked.set(number, tracked)
    const last = this.#waiting.at(-1)
    this.#waiting.push(tracked)
    if (last !== undefined && last.number > number) this.#sortWaiting()
    this.#keepWithinBounds()
    this.#settle()
  }

  /** Resolves when every living worker has applied it, or the time is over. */
  async wait(number: number, ms: number): Promise<void> {
    const tracked = this.#tracked.get(number)
    if (tracked === undefined || tracked.settled !== null || ms <= 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    tracked.onSettled.push(resolve)
    await promise
    clearTimeout(timer)
    tracked.onSettled = tracked.onSettled.filter((it) => it !== resolve)
  }

  receipt(id: string, number: number): Receipt {
    const settled = this.#tracked.get(number)?.settled ?? null
    const missing = this.#missing(number)
    const isApplied = settled !== null || missing.every(({ reason }) => reason === 'dead')
    const now = this.#applied(number)
    return {
      id,
      number,
      state: isApplied ? 'applied' : 'waiting',
      machines: Math.max(now.machines, settled?.machines ?? 0),
      workers: Math.max(now.workers, settled?.workers ?? 0),
      slowestMs: settled?.slowestMs ?? null,
      missing: settled === null ? missing : missing.filter(({ reason }) => reason === 'dead'),
    }
  }

  /** Of a purge that only this machine knows, under a number of its own. */
  ownReceipt(id: string, machine: string, number: number): Receipt {
    const own = this.#machines.get(machine)?.workers ?? new Map<string, number>()
    const late = [...own].filter(([, applied]) => applied < number)
    const others = this.machineNames().filter((name) => name !== machine)
    return {
      id,
      number: null,
      state: 'pending',
      machines: late.length === 0 ? 1 : 0,
      workers: own.size - late.length,
      slowestMs: null,
      missing: [
        ...late.map(([worker]) => ({ machine, worker, reason: 'late' as const })),
        ...others.map((name) => ({ machine: name, worker: null, reason: 'unreachable' as const })),
      ],
    }
  }

  #missing(number: number): MissingWorker[] {
    const missing: MissingWorker[] = []
    for (const [machine, { alive, workers }] of this.#machines) {
      if (!alive) missing.push({ machine, worker: null, reason: 'dead' })
      else {
        for (const [worker, applied] of workers)
          if (applied < number) missing.push({ machine, worker, reason: 'late' })
      }
    }
    return missing
  }

  #applied(number: number): { machines: number; workers: number } {
    let machines = 0
    let workers = 0
    for (const machine of this.#machines.values()) {
      if (!machine.alive) continue
      const there = [...machine.workers.values()].filter((applied) => applied >= number).length
      workers += there
      if (there === machine.workers.size) machines++
    }
    return { machines, workers }
  }

  #settle(): void {
    if (this.#head >= this.#waiting.length) return
    const lowest = this.#lowestApplied()
    if (this.#waiting[this.#head].number > lowest) return
    const now = performance.now()
    while (this.#head < this.#waiting.length) {
      const tracked = this.#waiting[this.#head]
      if (tracked.number > lowest) break
      this.#head++
      const slowestMs = Math.max(0, now - tracked.startedAt)
      tracked.settled = { slowestMs, ...this.#applied(tracked.number) }
      for (const tell of tracked.onSettled) tell()
      tracked.onSettled = []
    }
    if (this.#head > 1_000 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head)
      this.#head = 0
    }
  }

  #lowestApplied(): number {
    let lowest = Number.POSITIVE_INFINITY
    for (const { alive, workers } of this.#machines.values()) {
      if (!alive) continue
      for (const applied of workers.values()) if (applied < lowest) lowest = applied
    }
    return lowest
  }

  #keepWithinBounds(): void {
    const waiting = this.#waiting.length - this.#head
    if (this.#tracked.size - waiting > MAX_REMEMBERED || waiting > MAX_WAITING) {
      for (const [number, tracked] of this.#tracked) {
        if (tracked.settled === null && waiting <= MAX_WAITING) continue
        this.#tracked.delete(number)
        break
      }
    }
    if (waiting > MAX_WAITING) this.#head++
  }

  #sortWaiting(): void {
    this.#waiting = this.#waiting.slice(this.#head).sort((a, b) => a.number - b.number)
    this.#head = 0
  }

  #machine(name: string): Machine {
    const known = this.#machines.get(name)
    if (known !== undefined) return known
    const machine: Machine = { alive: true, workers: new Map() }
    this.#machines.set(name, machine)
    return machine
  }
}

function raise(workers: Map<string, number>, worker: string, number: number): void {
  const held = workers.get(worker)
  if (held === undefined || held < number) workers.set(worker, number)
}

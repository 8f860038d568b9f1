import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { RedisServer } from '../../support/redis-server.ts'
import type { Promises } from './promises.ts'
import type { Random } from './random.ts'
import type { TorturedMachine } from './tortured-machine.ts'

/** Longer than the supervisor leaves a worker alone that hangs. */
const LONGER_THAN_WATCHDOG_MS = 7_000

export interface Tormenting {
  readonly machines: readonly TorturedMachine[]
  readonly promises: Promises
  readonly random: Random
  readonly redis: RedisServer
  readonly isOver: () => boolean
  /** A partition lasts no longer. */
  readonly partitionMs: number
}

/** How often each thing was done. */
export type Done = Record<string, number>

/** Kills, stops, drops, cuts: workers, links and Redis each have their own troubles, which meet. */
export class Tormentor {
  isDropping = false
  readonly done: Done = {}
  readonly #options: Tormenting

  constructor(options: Tormenting) {
    this.#options = options
  }

  async tormentWorkers(): Promise<void> {
    const random = this.#options.random.fork()
    while (!this.#options.isOver()) {
      await wait(random.between(200, 2_500))
      const machine = random.pick(this.#options.machines)
      const pid = await machine.someWorker(random.between(0, 1))
      if (pid === null) continue
      const kind = random.next()
      if (kind < 0.5) await this.#kill(machine, pid)
      else if (kind < 0.85) await this.#stop(machine, pid, random.between(100, 2_500))
      else await this.#hang(machine, pid)
    }
  }

  async tormentLinks(): Promise<void> {
    const { machines, isOver, partitionMs, random: own } = this.#options
    const random = own.fork()
    while (!isOver()) {
      await wait(random.between(500, 4_000))
      const machine = random.pick(machines)
      if (random.chance(0.5)) await this.#drop(random)
      else await this.#partition(machine, random, random.between(300, partitionMs))
    }
  }

  async tormentRedis(): Promise<void> {
    const { isOver, random: own } = this.#options
    const random = own.fork()
    while (!isOver()) {
      await wait(random.between(5_000, 20_000))
      await this.#killRedis(random.chance(0.5), random.between(0, 4_000))
    }
  }

  #did(what: string): void {
    this.done[what] = (this.done[what] ?? 0) + 1
  }

  async #kill(machine: TorturedMachine, pid: number): Promise<void> {
    this.#did('worker killed')
    this.#options.promises.event(`machine ${machine.index}: worker ${pid} is killed`)
    machine.signal(pid, 'SIGKILL')
    await machine.replaced(pid)
    this.#options.promises.event(`machine ${machine.index}: worker ${pid} is replaced`)
  }

  async #stop(machine: TorturedMachine, pid: number, ms: number): Promise<void> {
    const { promises } = this.#options
    this.#did('worker stopped')
    promises.trouble(machine.index, `worker ${pid} is stopped for ${ms} ms`)
    machine.signal(pid, 'SIGSTOP')
    await wait(ms)
    try {
      machine.signal(pid, 'SIGCONT')
    } catch {
      // Others had so much to do that it was taken for hung, and killed.
      await machine.replaced(pid)
    }
    promises.well(machine.index, `worker ${pid} goes on`)
  }

  async #hang(machine: TorturedMachine, pid: number): Promise<void> {
    const { promises } = this.#options
    this.#did('worker hung')
    promises.trouble(machine.index, `worker ${pid} is stopped for good`)
    machine.signal(pid, 'SIGSTOP')
    await wait(LONGER_THAN_WATCHDOG_MS)
    await machine.replaced(pid)
    promises.well(machine.index, `worker ${pid} is replaced`)
  }

  /** Some of what Redis publishes does not arrive. */
  async #drop(random: Random): Promise<void> {
    const { machines, promises } = this.#options
    this.#did('messages dropped')
    promises.event('messages are dropped')
    this.isDropping = true
    const share = random.pick([0.3, 0.7, 1])
    const victims = machines.filter(() => random.chance(0.6))
    for (const { link } of victims) {
      link.drop = (message) => message.includes('larder:purge') && random.chance(share)
    }
    await wait(random.between(200, 3_000))
    for (const { link } of victims) link.drop = () => false
    this.isDropping = false
    promises.event('messages are no longer dropped')
  }

  async #partition(machine: TorturedMachine, random: Random, ms: number): Promise<void> {
    const { promises } = this.#options
    const isCut = random.chance(0.5)
    this.#did(isCut ? 'link cut' : 'link frozen')
    promises.trouble(machine.index, `its link is ${isCut ? 'cut' : 'frozen'} for ${ms} ms`)
    if (isCut) machine.link.cut()
    else machine.link.freeze()
    await wait(ms)
    machine.link.mend()
    promises.well(machine.index, 'its link is mended')
  }

  async #killRedis(withData: boolean, ms: number): Promise<void> {
    const { machines, promises, redis } = this.#options
    this.#did(withData ? 'Redis killed' : 'Redis killed, data lost')
    for (const { index } of machines) promises.trouble(index, 'Redis is killed')
    await redis.kill()
    if (!withData) rmSync(join(redis.folder, 'appendonlydir'), { recursive: true, force: true })
    await wait(ms)
    await redis.start()
    const how = withData ? 'with what it knew' : 'with nothing'
    for (const { index } of machines) promises.well(index, `Redis is back ${how}`)
  }
}

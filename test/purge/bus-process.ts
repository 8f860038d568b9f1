import { redisBus } from '../../packages/purge-bus/src/redis/redis-bus.ts'
import { Heard, resolve } from '../../packages/purge-bus/src/test-support/bus-under-test.ts'

/** A machine in a process of its own: told what to do by its parent, tells what it has heard. */

export interface Machine {
  readonly url: string
  readonly folder: string
  readonly machine: string
}

export type FromMachine = {
  readonly state: string
  readonly numbers: readonly number[]
  readonly tags: readonly string[]
  readonly floors: readonly string[]
  readonly errors: readonly string[]
}

const { url, folder, machine }: Machine = JSON.parse(process.argv[2])
const heard = new Heard()
const bus = await redisBus({
  redis: { url },
  folder,
  machine,
  prefix: 'test:',
  settleMs: 300,
  table: { resolve },
  events: heard,
})
bus.addWorker('w0', bus.table.number)
heard.onApplied = (number) => bus.acknowledge('w0', number)
await bus.start()
process.on('message', () => {
  const { numbers, tags } = heard
  const floors = heard.floors.map(({ reason }) => reason)
  const errors = heard.errors.map(({ reason }) => reason)
  const report: FromMachine = { state: bus.state.kind, numbers, tags, floors, errors }
  process.send?.(report)
})
process.on('disconnect', () => process.exit())

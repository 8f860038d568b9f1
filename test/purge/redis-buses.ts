import type { Test } from 'tap'
import { redisBus } from '../../packages/purge-bus/src/redis/redis-bus.ts'
import type { RedisBusOptions } from '../../packages/purge-bus/src/redis/redis-bus-options.ts'
import {
  type BusUnderTest,
  Heard,
  resolve,
  waitFor,
} from '../../packages/purge-bus/src/test-support/bus-under-test.ts'
import { temporaryFolder } from '../support/larder-process.ts'

export type BusOptions = Partial<RedisBusOptions> & Pick<RedisBusOptions, 'redis'>

/** A bus that is connected, or knows that it is cut off. */
export async function startBus(t: Test, options: BusOptions): Promise<BusUnderTest> {
  const heard = new Heard()
  const bus = await redisBus({
    prefix: 'test:',
    folder: options.folder ?? temporaryFolder(t),
    machine: 'm1',
    table: { resolve },
    events: heard,
    settleMs: 300,
    ...options,
  })
  t.teardown(() => bus.stop())
  await bus.start()
  return { bus, heard }
}

export function isConnected({ bus }: BusUnderTest): boolean {
  return bus.state.kind === 'connected'
}

export async function connected(...all: readonly BusUnderTest[]): Promise<void> {
  await waitFor(() => all.every(isConnected))
}

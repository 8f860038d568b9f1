import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { temporaryFolder, waitFor } from '../support/larder-process.ts'
import type { FromMachine, Machine } from './bus-process.ts'

const FILE = fileURLToPath(new URL('./bus-process.ts', import.meta.url))

/** A machine that is a process. */
export class MachineProcess {
  readonly #child: ChildProcess

  constructor(child: ChildProcess) {
    this.#child = child
  }

  async report(): Promise<FromMachine> {
    const answer = once(this.#child, 'message')
    this.#child.send('report')
    const [report] = await answer
    return report as FromMachine
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }

  pause(): void {
    this.#child.kill('SIGSTOP')
  }

  resume(): void {
    this.#child.kill('SIGCONT')
  }
}

export async function startMachine(
  t: Test,
  url: string,
  machine: string,
  folder = temporaryFolder(t),
): Promise<MachineProcess> {
  const what: Machine = { url, folder, machine }
  const child = fork(FILE, [JSON.stringify(what)], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const started = new MachineProcess(child)
  t.teardown(() => started.kill())
  await waitFor(async () => (await started.report()).state === 'connected')
  return started
}

import type { ReceiptBook } from '../receipt-book.ts'
import type { MachineRecord } from './purge-log.ts'

/** Takes in who is there and how far; `own` (if any) is known better here than in Redis. */
export function meetMachines(
  book: ReceiptBook,
  machines: readonly MachineRecord[],
  deadAfterMs: number,
  own: string | undefined,
): void {
  const names = new Set(machines.map(({ name }) => name))
  for (const { name, silentMs, workers } of machines) {
    if (name !== own) book.setMachine(name, silentMs <= deadAfterMs, workers)
  }
  for (const name of book.machineNames()) {
    if (name !== own && !names.has(name)) book.removeMachine(name)
  }
}

import type { Receipt } from './receipt.ts'

/** Of a purge whose time has not come. */
export function scheduledReceipt(id: string): Receipt {
  return {
    id,
    number: null,
    state: 'scheduled',
    machines: 0,
    workers: 0,
    slowestMs: null,
    missing: [],
  }
}

import { hash } from 'node:crypto'
import type { PurgeMessage } from './purge-message.ts'

/** Names a scheduled purge: the same purge at the same instant is the same, however often it is asked for. */
export function scheduledId(message: PurgeMessage): string {
  return `at-${hash('sha256', JSON.stringify(message), 'hex').slice(0, 32)}`
}

/** A numbered purge is called by its number. */
export function numberOfId(id: string): number | undefined {
  return /^[1-9]\d{0,15}$/.test(id) ? Number(id) : undefined
}

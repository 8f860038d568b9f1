import type { PurgeMessage } from './purge-message.ts'
import type { Receipt } from './receipt.ts'

/** Publishing it again will not help. */
export class PurgeRefusedError extends Error {
  readonly code = 'PURGE_REFUSED'
}

/** How a purge gets out: understood already. */
export interface PurgeTransport {
  publish(message: PurgeMessage, waitMs: number): Promise<Receipt>
  close(): Promise<void>
}

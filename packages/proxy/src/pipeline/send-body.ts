import type { BodyRead } from '../storage/shared-tier.ts'
import type { ResponseWriter } from '../transport/exchange.ts'
import type { Transaction } from './transaction.ts'

/**
 * Sends a body that is read from a tier piece by piece, never further ahead than the client takes it. When a piece is
 * not what was stored the answer is cut, so that the client can tell.
 */
export async function sendBody(
  tx: Transaction,
  writer: ResponseWriter,
  read: BodyRead,
): Promise<void> {
  let drained: (() => void) | null = null
  writer.onDrain = () => drained?.()
  tx.onGone = () => {
    read.close()
    drained?.()
  }
  try {
    for (let piece = await read.next(); piece !== null; piece = await read.next()) {
      if (tx.closed) return
      if (writer.write(piece)) continue
      await new Promise<void>((resolve) => {
        drained = resolve
      })
      drained = null
      if (tx.closed) return
    }
    writer.end()
  } catch {
    // The tier has counted it and dropped the record; the next request fetches it anew.
    tx.exchange.abort()
  } finally {
    read.close()
  }
}

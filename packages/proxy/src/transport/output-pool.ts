/**
 * Output buffers shared by all connections of a worker. A connection takes one when it has something to say and gives
 * it back when the kernel has the bytes, so an idle connection holds none. Reuse is safe only after the write callback.
 */

/** 64 KiB of answers, and room for the control frames and heads that must always fit behind them. */
export const OUTPUT_BYTES = 65_536 + 4_096

const MAX_POOLED = 64
const pool: Buffer[] = []

export function takeOutput(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(OUTPUT_BYTES)
}

/** Returns a buffer that no write refers to any more. */
export function giveOutput(buffer: Buffer): void {
  if (pool.length < MAX_POOLED) pool.push(buffer)
}

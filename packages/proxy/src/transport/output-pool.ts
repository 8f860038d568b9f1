/**
 * Output buffers shared by all connections of a worker. A connection takes one when it has something to say and gives
 * it back when the kernel has the bytes, so an idle connection holds none. Reuse is safe only after the write callback.
 */

/** 64 KiB of answers, and room for the control frames and heads that must always fit behind them. */
export const OUTPUT_BYTES = 65_536 + 4_096

/**
 * Under TLS a write that the client does not take is held twice, in clear and enciphered. So a large response leaves in
 * writes of this size until the client has taken more than any kernel buffers for it: until then, every client looks
 * like a fast one. One that stops reading later may hold a full buffer.
 */
export const CAREFUL_BYTES = 16 * 1024
/** With room for control frames that go along. */
export const CAREFUL_BUFFER_BYTES = CAREFUL_BYTES + 1024
/** Above the usual limit of a socket's send buffer (`net.ipv4.tcp_wmem`, 4 MiB) and what its peer's kernel takes. */
export const PROVEN_BYTES = 6 * 1024 * 1024

const MAX_POOLED = 64
const pool: Buffer[] = []
const carefulPool: Buffer[] = []

export function takeOutput(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(OUTPUT_BYTES)
}

export function takeCareful(): Buffer {
  return carefulPool.pop() ?? Buffer.allocUnsafeSlow(CAREFUL_BUFFER_BYTES)
}

/** Returns a buffer of either size that no write refers to any more; any other is left to the collector. */
export function giveOutput(buffer: Buffer): void {
  if (buffer.length === OUTPUT_BYTES) {
    if (pool.length < MAX_POOLED) pool.push(buffer)
  } else if (buffer.length === CAREFUL_BUFFER_BYTES && carefulPool.length < MAX_POOLED) {
    carefulPool.push(buffer)
  }
}

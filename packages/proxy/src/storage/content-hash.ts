import { hash } from 'node:crypto'

/** 128 bits of SHA-256: no two keys of a cache share them by accident, nor by design. */
export function hashOf(text: string | Buffer): Buffer {
  return hash('sha256', text, 'buffer').subarray(0, 16)
}

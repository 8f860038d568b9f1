import { mixed } from './random.ts'

const MIN_BYTES = 100
const MAX_BYTES = 1024 * 1024

/**
 * Log-normal sizes, as web objects have: half of them below `medianBytes`, a long tail above (`spread` is the standard
 * deviation of the logarithm), cut at the memory tier's 1 MiB. Independent of popularity.
 */
export function logNormalBytes(seed: number, medianBytes: number, spread: number) {
  return (id: number): number => {
    // Box and Muller: two even numbers make one that is normal.
    const radius = Math.sqrt(-2 * Math.log((mixed(id ^ seed) + 1) / (2 ** 32 + 1)))
    const angle = (2 * Math.PI * mixed(id + 0x5bd1e995 + seed)) / 2 ** 32
    const bytes = medianBytes * Math.exp(spread * radius * Math.cos(angle))
    return Math.round(Math.min(MAX_BYTES, Math.max(MIN_BYTES, bytes)))
  }
}

/** Node's own fast path for one byte = one char, absent from its type declarations. */
interface Buffer {
  latin1Slice(start: number, end: number): string
}

/** Node's own fast paths for one byte = one char, absent from its type declarations. */
interface Buffer {
  latin1Slice(start: number, end: number): string
  latin1Write(text: string, offset: number, length: number): number
}

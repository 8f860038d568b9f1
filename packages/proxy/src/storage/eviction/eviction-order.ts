/**
 * In which order the memory tier evicts. It hands out slots, numbers from 0 up that are used again, and knows nothing of
 * what is in them. The tier calls `visit` for every hit, the rest for every insertion.
 */
export interface EvictionOrder {
  /**
   * Takes a slot for something new. `fingerprint`: 32 bits of its key. `proven`: it takes the place of something that was
   * asked for again, so it is no one-hit wonder.
   */
  add(fingerprint: number, bytes: number, proven: boolean): number
  visit(slot: number): void
  /** The slot to evict next, still taken; -1 when there is none. */
  victim(): number
  /** Gives a slot back. */
  remove(slot: number): void
}

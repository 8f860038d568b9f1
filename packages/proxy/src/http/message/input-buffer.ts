const EMPTY = Buffer.alloc(0)

/**
 * What came from the socket and is not used up: one contiguous stretch, so that a head is parsed in place.
 *
 * A chunk that finds the buffer empty is adopted without a copy. Bytes once appended are never overwritten (growing
 * moves to new memory), therefore slices may be handed on for keeps.
 */
export class InputBuffer {
  bytes: Buffer = EMPTY
  start = 0
  end = 0
  #owned = false

  get available(): number {
    return this.end - this.start
  }

  append(chunk: Buffer): void {
    if (this.start === this.end) {
      this.bytes = chunk
      this.start = 0
      this.end = chunk.length
      this.#owned = false
      return
    }
    if (!this.#owned || this.end + chunk.length > this.bytes.length) this.#grow(chunk.length)
    chunk.copy(this.bytes, this.end)
    this.end += chunk.length
  }

  /** To be called when nobody will read on for now: lets go of memory that is used up. */
  settle(): void {
    if (this.start === this.end) {
      this.bytes = EMPTY
      this.start = 0
      this.end = 0
    } else if (!this.#owned && this.available * 2 < this.bytes.length) this.#grow(0)
  }

  clear(): void {
    this.start = this.end
    this.settle()
  }

  #grow(room: number): void {
    const held = this.available
    const size = room === 0 ? held : Math.max(512, (held + room) * 2)
    const bytes = Buffer.allocUnsafeSlow(size)
    this.bytes.copy(bytes, 0, this.start, this.end)
    this.bytes = bytes
    this.start = 0
    this.end = held
    this.#owned = true
  }
}

/** Whether a line ends within the stretch; not `indexOf`, which would look at the unused rest of the memory as well. */
export function hasLineFeed(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === 0x0a) return true
  return false
}

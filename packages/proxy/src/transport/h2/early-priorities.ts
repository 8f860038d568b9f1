import type { Priority } from './priority.ts'

/** RFC 9218 §7.1 lets a PRIORITY_UPDATE come before its request; it does not ask us to remember many. */
const MAX_REMEMBERED = 32

/** Priorities of streams that are not open yet. */
export class EarlyPriorities {
  readonly #byStream = new Map<number, Priority>()

  /** `lastId` is the highest stream so far: what waits for those below can never be used. */
  remember(streamId: number, priority: Priority, lastId: number): void {
    const known = this.#byStream
    if (known.size >= MAX_REMEMBERED && !known.has(streamId)) {
      for (const id of known.keys()) if (id <= lastId) known.delete(id)
      if (known.size >= MAX_REMEMBERED) return
    }
    known.set(streamId, priority)
  }

  take(streamId: number): Priority | undefined {
    if (this.#byStream.size === 0) return undefined
    const priority = this.#byStream.get(streamId)
    this.#byStream.delete(streamId)
    return priority
  }
}

import type { PurgeBusEvents } from '../purge-bus.ts'

/** The same trouble is told once in so many ms. */
const TELL_AGAIN_AFTER_MS = 10_000
const MAX_REMEMBERED = 100

/** Tells trouble without repeating itself. */
export class Trouble {
  readonly #events: PurgeBusEvents
  readonly #toldAt = new Map<string, number>()

  constructor(events: PurgeBusEvents) {
    this.#events = events
  }

  tell(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    const now = performance.now()
    if ((this.#toldAt.get(reason) ?? Number.NEGATIVE_INFINITY) > now - TELL_AGAIN_AFTER_MS) return
    if (this.#toldAt.size >= MAX_REMEMBERED) this.#toldAt.clear()
    this.#toldAt.set(reason, now)
    this.#events.onError('', reason)
  }
}

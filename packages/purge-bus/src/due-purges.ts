import type { PurgeMessage } from './purge-message.ts'

export interface DuePurge {
  readonly id: string
  /** Epoch ms. */
  readonly at: number
  readonly message: PurgeMessage
}

/** Purges whose time has not come. */
export class DuePurges {
  readonly #byId = new Map<string, DuePurge>()

  get size(): number {
    return this.#byId.size
  }

  get all(): readonly DuePurge[] {
    return [...this.#byId.values()]
  }

  get(id: string): DuePurge | undefined {
    return this.#byId.get(id)
  }

  add(purge: DuePurge): void {
    this.#byId.set(purge.id, purge)
  }

  remove(id: string): void {
    this.#byId.delete(id)
  }

  /** Epoch ms of the next one; undefined when there is none. */
  get nextAt(): number | undefined {
    let next: number | undefined
    for (const { at } of this.#byId.values()) if (next === undefined || at < next) next = at
    return next
  }

  /** Those whose time has come, in its order. */
  dueAt(now: number): DuePurge[] {
    return this.all.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at)
  }
}

import { type HeldLease, LEASE_MS, type Lease, type LeaseAnswer } from './ports.ts'

interface Place {
  fence: number
  /** Held by the holder of this fence; false while it rests. */
  isHeld: boolean
  untilAt: number
  failures: number
}

/** Leases of a machine that is alone. As many as there are certificates. */
export class LocalLease implements Lease {
  readonly #places = new Map<string, Place>()
  readonly #now: () => number

  /** Epoch ms. */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  async take(id: string, evenResting = false): Promise<LeaseAnswer> {
    const now = this.#now()
    const place = this.#places.get(id) ?? { fence: 0, isHeld: false, untilAt: 0, failures: 0 }
    const isFree = place.untilAt <= now || (evenResting && !place.isHeld)
    if (!isFree) return { kind: 'busy', retryAfterMs: place.untilAt - now }
    place.fence++
    place.isHeld = true
    place.untilAt = now + LEASE_MS
    this.#places.set(id, place)
    return { kind: 'held', lease: this.#held(place, place.fence) }
  }

  #held(place: Place, fence: number): HeldLease {
    const isOurs = () => place.fence === fence && place.isHeld
    return {
      fence,
      failures: place.failures,
      extend: async () => {
        if (isOurs()) place.untilAt = this.#now() + LEASE_MS
        return isOurs()
      },
      release: async (failures, restMs) => {
        if (!isOurs()) return
        place.isHeld = false
        place.failures = failures
        place.untilAt = this.#now() + restMs
      },
    }
  }
}

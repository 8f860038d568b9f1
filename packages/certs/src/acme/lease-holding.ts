import { AcmeError } from './acme-error.ts'
import { type HeldLease, LEASE_MS } from './ports.ts'

/** A lease that is kept for as long as something takes; `signal` ends the work when it is lost. */
export class LeaseHolding {
  readonly #abort = new AbortController()
  readonly #timer: NodeJS.Timeout
  #extendedAt = performance.now()

  constructor(lease: HeldLease) {
    this.#timer = setInterval(() => void this.#extend(lease), LEASE_MS / 6)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  end(): void {
    clearInterval(this.#timer)
  }

  async #extend(lease: HeldLease): Promise<void> {
    try {
      if (await lease.extend()) this.#extendedAt = performance.now()
      else this.#abort.abort(leaseLost())
    } catch {
      // Not known; someone else can have it only when it has run out.
      if (performance.now() - this.#extendedAt > LEASE_MS) this.#abort.abort(leaseLost())
    }
  }
}

const LEASE_LOST = 'Another machine has taken over the renewal; what it brings is what counts.'

export function leaseLost(): AcmeError {
  return new AcmeError('here', LEASE_LOST)
}

export function isLeaseLost(error: unknown): boolean {
  return error instanceof AcmeError && error.message === LEASE_LOST
}

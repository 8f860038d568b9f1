import type { RenewalReason } from './renewal-plan.ts'

/** A certificate that is to be there and fresh. */
export interface RenewalTarget {
  readonly id: string
  /** DNS names, lower case. */
  readonly names: readonly string[]
}

export type RenewalEvent =
  | {
      readonly kind: 'ordering'
      readonly id: string
      readonly names: readonly string[]
      readonly reason: RenewalReason
    }
  | {
      readonly kind: 'issued'
      readonly id: string
      readonly names: readonly string[]
      readonly version: number
      readonly notAfterAt: number
      /** By this machine's clock it would have to be renewed already: the clock is wrong, or the authority's is. */
      readonly isDueAgain: boolean
    }
  | {
      readonly kind: 'failed'
      readonly id: string
      readonly names: readonly string[]
      readonly error: Error
      readonly failures: number
      readonly retryAt: number
      /** Of what is served meanwhile; undefined when there is nothing. */
      readonly notAfterAt: number | undefined
    }
  /** Suggested windows are a help, not a need. */
  | { readonly kind: 'no-renewal-info'; readonly id: string; readonly error: Error }

export interface RenewalStatus {
  readonly id: string
  readonly names: readonly string[]
  /** When it is looked at again: to renew it, to try again, or to see whether something has changed. */
  readonly nextAt: number
  /** undefined while there is none. */
  readonly notAfterAt: number | undefined
  readonly failures: number
  readonly lastError: string | undefined
}

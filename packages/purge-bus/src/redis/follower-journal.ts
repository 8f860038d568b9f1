import type { NumberedPurge } from '../purge-message.ts'

/** What a machine with Redis writes down. */
export type FollowerValue =
  | { readonly kind: 'purges'; readonly purges: readonly NumberedPurge[] }
  /** Everything up to this number counts as purged. */
  | { readonly kind: 'floor'; readonly number: number }
  | { readonly kind: 'epoch'; readonly epoch: string; readonly history: string }

/** What goes into the snapshot beside the table. */
export interface FollowerExtra {
  readonly epoch: string
  readonly history: string
  readonly position: number
}

/** Only what this file describes was ever written, and a checksum has been verified. */
export function readFollowerExtra(extra: unknown): FollowerExtra {
  return { epoch: '', history: '', position: 0, ...(extra as Partial<FollowerExtra> | undefined) }
}

export function readFollowerValue(value: unknown): FollowerValue {
  return value as FollowerValue
}

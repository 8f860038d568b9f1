import type { DuePurge } from '../due-purges.ts'
import type { NumberedPurge } from '../purge-message.ts'

/** What a machine with Redis writes down. */
export type FollowerValue =
  /** All that came after the number `previous`, up to the last of them. */
  | {
      readonly kind: 'purges'
      readonly previous: number
      readonly purges: readonly NumberedPurge[]
    }
  /** Everything up to this number counts as purged. */
  | { readonly kind: 'floor'; readonly number: number }
  | { readonly kind: 'epoch'; readonly epoch: string; readonly history: string }
  /** Redis has it until its time; this machine remembers it in case Redis forgets. */
  | { readonly kind: 'due'; readonly due: DuePurge }

/** What goes into the snapshot beside the table. */
export interface FollowerExtra {
  readonly epoch: string
  readonly history: string
  readonly position: number
  readonly due: readonly DuePurge[]
}

/** Only what this file describes was ever written, and a checksum has been verified. */
export function readFollowerExtra(extra: unknown): FollowerExtra {
  const nothing: FollowerExtra = { epoch: '', history: '', position: 0, due: [] }
  return { ...nothing, ...(extra as Partial<FollowerExtra> | undefined) }
}

export function readFollowerValue(value: unknown): FollowerValue {
  return value as FollowerValue
}

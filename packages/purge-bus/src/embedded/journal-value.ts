import type { DuePurge } from '../due-purges.ts'
import type { NumberedPurge } from '../purge-message.ts'

/** What the embedded bus writes down. */
export type JournalValue =
  | {
      readonly kind: 'purges'
      /** Epoch ms. */
      readonly at: number
      readonly purges: readonly NumberedPurge[]
      /** For each, the id under which it was scheduled; '' = it was not. */
      readonly scheduled: readonly string[]
    }
  | { readonly kind: 'due'; readonly due: DuePurge }

type Remembered = readonly (readonly [id: string, number: number, at: number])[]

/** What goes into the snapshot beside the table. */
export interface EmbeddedExtra {
  readonly last: number
  readonly due: readonly DuePurge[]
  readonly references: Remembered
  readonly scheduled: Remembered
}

const NOTHING: EmbeddedExtra = { last: 0, due: [], references: [], scheduled: [] }

/** Only what this file describes was ever written, and a checksum has been verified. */
export function readExtra(extra: unknown): EmbeddedExtra {
  return { ...NOTHING, ...(extra as Partial<EmbeddedExtra> | undefined) }
}

export function readJournalValue(value: unknown): JournalValue {
  return value as JournalValue
}

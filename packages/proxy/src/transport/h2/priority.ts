/** Extensible priorities (RFC 9218 §4). */

/** 0 is the most urgent. */
export const DEFAULT_URGENCY = 3
export const LAST_URGENCY = 7

/** Urgency and, in the fourth bit, incremental: one small integer that costs nothing to keep. */
export type Priority = number

export const DEFAULT_PRIORITY: Priority = DEFAULT_URGENCY

const INCREMENTAL = 0x8

/** What two members need, several times over; a longer text is not worth its reading. */
const MAX_TEXT = 256

export function urgencyOf(priority: Priority): number {
  return priority & LAST_URGENCY
}

export function isIncremental(priority: Priority): boolean {
  return (priority & INCREMENTAL) !== 0
}

/**
 * The dictionary of a `priority` field or a PRIORITY_UPDATE. Members that we do not know, and values out of range, are
 * passed over (RFC 9218 §4): priority is a hint, and a hint that cannot be read is no error.
 */
export function parsePriority(text: string): Priority {
  if (text.length > MAX_TEXT) return DEFAULT_PRIORITY
  let urgency = DEFAULT_URGENCY
  let incremental = false
  for (const part of text.split(',')) {
    const member = part.split(';', 1)[0].trim()
    if (/^u=[0-7]$/.test(member)) urgency = Number(member[2])
    else if (member === 'i' || member === 'i=?1') incremental = true
    else if (member === 'i=?0') incremental = false
  }
  return urgency | (incremental ? INCREMENTAL : 0)
}

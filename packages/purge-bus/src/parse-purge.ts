import { parsePurgeObject } from './parse-purge-object.ts'
import type { PurgeMessage } from './purge-message.ts'

export type ParsedPurge =
  | { readonly ok: true; readonly message: PurgeMessage }
  /** What was expected, what came, and where. */
  | { readonly ok: false; readonly reason: string }

export const MAX_MESSAGE_BYTES = 1024 * 1024

const FORMS =
  "'url <URL>…', 'prefix <URL>…', 'tag <tenant> <tag>…', 'tenant <tenant>' or 'all', each with an optional leading " +
  `'soft', or JSON like {"type":"tag","tenant":"acme","tags":["p-42"]}`

/**
 * The one validator for every door: JSON text, plain words, or the object that JSON text would have been. Nothing of a
 * message that is not understood as a whole has any effect. `now` in epoch ms.
 */
export function parsePurge(input: unknown, now: number = Date.now()): ParsedPurge {
  if (typeof input !== 'string') return parsePurgeObject(input, now)
  if (Buffer.byteLength(input) > MAX_MESSAGE_BYTES) {
    return refuse(`a purge has at most ${MAX_MESSAGE_BYTES} bytes; split it`)
  }
  const text = input.trim()
  if (text === '') return refuse(`the message is empty: expected ${FORMS}`)
  if (!text.startsWith('{')) return parseWords(text.split(/\s+/), now)
  try {
    return parsePurgeObject(JSON.parse(text), now)
  } catch (error) {
    return refuse(`not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function parseWords(words: readonly string[], now: number): ParsedPurge {
  const soft = words[0] === 'soft'
  const [type, ...rest] = soft ? words.slice(1) : words
  switch (type) {
    case 'url':
      return parsePurgeObject({ type, soft, urls: rest }, now)
    case 'prefix':
      return parsePurgeObject({ type, soft, prefixes: rest }, now)
    case 'tag':
      return parsePurgeObject({ type, soft, tenant: rest[0], tags: rest.slice(1) }, now)
    case 'tenant':
      if (rest.length > 1) return refuse(`'tenant' takes one tenant, not '${rest.join(' ')}'`)
      return parsePurgeObject({ type, soft, tenant: rest[0] }, now)
    case 'all':
      if (rest.length > 0) return refuse(`'all' takes no further words, not '${rest.join(' ')}'`)
      // Whoever writes the word alone means it.
      return parsePurgeObject({ type, soft, confirm: true }, now)
    default:
      return refuse(`'${clip(type ?? '')}' is no kind of purge: expected ${FORMS}`)
  }
}

function refuse(reason: string): ParsedPurge {
  return { ok: false, reason }
}

function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

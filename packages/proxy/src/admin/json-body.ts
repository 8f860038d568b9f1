export const MAX_BODY_BYTES = 1024 * 1024
const MAX_JSON_DEPTH = 32

const FORBIDDEN_NAMES = new Set(['__proto__', 'constructor', 'prototype'])

/** JSON of bounded depth without names that could reach a prototype; throws a `JsonBodyError` otherwise. */
export function parseJsonBody(text: string): unknown {
  if (exceedsDepth(text)) {
    throw new JsonBodyError(`The body is nested deeper than ${MAX_JSON_DEPTH} levels.`)
  }
  try {
    return JSON.parse(text, refuseForbiddenNames)
  } catch (error) {
    if (error instanceof JsonBodyError) throw error
    throw new JsonBodyError('The body is not well-formed JSON.')
  }
}

export class JsonBodyError extends Error {
  readonly statusCode = 400
}

function refuseForbiddenNames(name: string, value: unknown): unknown {
  if (FORBIDDEN_NAMES.has(name)) throw new JsonBodyError(`The name '${name}' is not allowed.`)
  return value
}

/** Counted before parsing: the parser itself would recurse. Brackets inside strings do not count. */
function exceedsDepth(text: string): boolean {
  let depth = 0
  let isInString = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (isInString) {
      if (code === 0x5c) index++
      else if (code === 0x22) isInString = false
    } else if (code === 0x22) {
      isInString = true
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > MAX_JSON_DEPTH) return true
    } else if (code === 0x7d || code === 0x5d) {
      depth--
    }
  }
  return false
}

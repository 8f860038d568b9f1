/** RFC 9110 §9.2.1. An unknown method is unsafe. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])
/** RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set([...SAFE, 'PUT', 'DELETE'])

export function isSafe(method: string): boolean {
  return SAFE.has(method)
}

export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method)
}

/** Octets that may stand in a field name (RFC 9110 §5.1, §5.6.2 token): 1, else 0. */
export const TOKEN_OCTET = new Uint8Array(256)
/** Octets that may stand in a field value (RFC 9110 §5.5): VCHAR, SP, HTAB, obs-text. */
export const VALUE_OCTET = new Uint8Array(256)

for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  TOKEN_OCTET[c.charCodeAt(0)] = 1
}
for (let octet = 0; octet < 256; octet++) {
  VALUE_OCTET[octet] = (octet >= 0x20 && octet !== 0x7f) || octet === 0x09 ? 1 : 0
}

/** RFC 9110 §5.6.2 */
export function isToken(text: string): boolean {
  if (text.length === 0) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || TOKEN_OCTET[code] === 0) return false
  }
  return true
}

/** True for a value without CR, LF, NUL or other controls, and without space at either end (RFC 9110 §5.5). */
export function isFieldValue(text: string): boolean {
  const length = text.length
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || VALUE_OCTET[code] === 0) return false
  }
  if (length === 0) return true
  const first = text.charCodeAt(0)
  const last = text.charCodeAt(length - 1)
  return first !== 0x20 && first !== 0x09 && last !== 0x20 && last !== 0x09
}

/** Content-Length as RFC 9110 §8.6 has it: digits alone, no list; undefined when it is anything else. */
export function parseContentLength(text: string): number | undefined {
  if (text.length === 0 || text.length > 15) return undefined
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x30 || code > 0x39) return undefined
  }
  return Number(text)
}

/** The members of a comma-separated list, trimmed, empty ones dropped, commas in quoted strings respected (RFC 9110 §5.6.1). */
export function listMembers(value: string): string[] {
  if (!value.includes('"')) {
    const members: string[] = []
    for (const part of value.split(',')) {
      const member = part.trim()
      if (member !== '') members.push(member)
    }
    return members
  }
  const members: string[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i <= value.length; i++) {
    const c = value[i]
    if (quoted) {
      if (c === '\\') i++
      else if (c === '"') quoted = false
      if (i < value.length) continue
    } else if (c === '"') quoted = true
    if (c === ',' || i >= value.length) {
      const member = value.slice(start, i).trim()
      if (member !== '') members.push(member)
      start = i + 1
    }
  }
  return members
}

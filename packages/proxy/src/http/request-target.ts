/**
 * The request target (RFC 9112 §3.2) in one form for everything behind the edge: `path?query`, the path normalised
 * by RFC 3986 §6.2.2 (case of escapes, escapes of unreserved characters, dot segments). What is normalised here is
 * also what the origin is asked for, so that key, rule and origin can never see three different paths.
 */

export type Target =
  | { readonly form: 'origin'; readonly target: string }
  | {
      readonly form: 'absolute'
      readonly target: string
      readonly scheme: 'http' | 'https'
      readonly authority: string
    }
  | { readonly form: 'asterisk' }
  | { readonly form: 'invalid'; readonly reason: string }

const invalid = (reason: string): Target => ({ form: 'invalid', reason })

/** Reads the target of any method but CONNECT. */
export function parseTarget(text: string, method: string): Target {
  if (text.charCodeAt(0) === 0x2f) {
    const target = normaliseTarget(text)
    return target === null ? invalid('malformed path') : { form: 'origin', target }
  }
  if (text === '*') {
    return method === 'OPTIONS' ? { form: 'asterisk' } : invalid("'*' is for OPTIONS only")
  }
  const absolute = /^(https?):\/\/([^/?#]*)(.*)$/is.exec(text)
  if (absolute === null) return invalid('neither a path nor an http URL')
  let rest = absolute[3]
  if (rest === '' || rest.startsWith('?')) rest = `/${rest}`
  const target = normaliseTarget(rest)
  if (target === null) return invalid('malformed path')
  const scheme = absolute[1].toLowerCase() === 'https' ? 'https' : 'http'
  return { form: 'absolute', target, scheme, authority: absolute[2] }
}

/**
 * Path and query, normalised; null when it holds octets that no URI has (controls, space, non-ASCII, `#`, and in the
 * path `\`), a broken escape or an escaped NUL in the path. The query is kept byte for byte: its meaning is the origin's.
 */
export function normaliseTarget(text: string): string | null {
  let end = text.length
  let plain = true
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c <= 0x20 || c >= 0x7f || c === 0x23) return null
    if (end < text.length) continue
    if (c === 0x3f) end = i
    else if (c === 0x5c) return null
    // An escape, or a dot that begins a segment, sends the path the slow way.
    else if (c === 0x25 || (c === 0x2e && i > 0 && text.charCodeAt(i - 1) === 0x2f)) plain = false
  }
  if (plain) return text
  const path = normalisePath(text.slice(0, end))
  return path === null ? null : path + text.slice(end)
}

function normalisePath(path: string): string | null {
  let broken = false
  const unescaped = path.replace(/%(..?)?/g, (triplet, digits: string | undefined) => {
    if (digits === undefined || !/^[0-9a-f]{2}$/i.test(digits)) {
      broken = true
      return triplet
    }
    const code = Number.parseInt(digits, 16)
    if (code === 0) broken = true
    const character = String.fromCharCode(code)
    return /[A-Za-z0-9\-._~]/.test(character) ? character : triplet.toUpperCase()
  })
  return broken ? null : removeDotSegments(unescaped)
}

/** RFC 3986 §5.2.4, for a path that begins with a slash. Empty segments stay: `//a` is not `/a`. */
function removeDotSegments(path: string): string {
  const segments = path.split('/')
  const kept: string[] = []
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i]
    const last = i === segments.length - 1
    if (segment === '.' || segment === '..') {
      if (segment === '..') kept.pop()
      if (last) kept.push('')
    } else kept.push(segment)
  }
  return `/${kept.join('/')}`
}

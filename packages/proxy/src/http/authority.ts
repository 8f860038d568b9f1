import { isIPv6 } from 'node:net'

/** A host as the proxy uses it: lower case, without final dot; port absent when it is the scheme's own. */
export interface Authority {
  readonly host: string
  readonly port: number | undefined
  /** `host` or `host:port`: what the cache key and the Host field carry. */
  readonly text: string
}

const MAX_MEMO = 1024
const memo = new Map<string, Authority | null>()

/**
 * Host or :authority to its canonical form; null when it is not `uri-host [":" port]` (RFC 9112 §3.2, RFC 3986
 * §3.2.2): user information, a path, spaces, an empty host, an odd port are refused, and so is a percent-escape,
 * which no client of the web sends and origins read in different ways.
 */
export function parseAuthority(text: string, scheme: 'http' | 'https'): Authority | null {
  const memoKey = scheme === 'https' ? text : ` ${text}`
  const known = memo.get(memoKey)
  if (known !== undefined) return known
  const parsed = parse(text, scheme === 'https' ? 443 : 80)
  // Bounded: a flood of made-up names empties the memo instead of growing it.
  if (memo.size >= MAX_MEMO) memo.clear()
  memo.set(memoKey, parsed)
  return parsed
}

function parse(text: string, defaultPort: number): Authority | null {
  if (text.length === 0 || text.length > 261) return null
  let hostText = text
  let port: number | undefined
  const portColon = text.startsWith('[')
    ? text.indexOf(':', text.indexOf(']') + 1)
    : text.indexOf(':')
  if (portColon >= 0) {
    hostText = text.slice(0, portColon)
    const digits = text.slice(portColon + 1)
    // RFC 3986 §3.2.3: port = *DIGIT, so "host:" is allowed and means the default.
    if (!/^[0-9]{0,5}$/.test(digits)) return null
    if (digits !== '') {
      port = Number(digits)
      if (port < 1 || port > 65535) return null
    }
  }
  const host = canonicalHost(hostText)
  if (host === null) return null
  if (port === defaultPort) port = undefined
  return { host, port, text: port === undefined ? host : `${host}:${port}` }
}

function canonicalHost(text: string): string | null {
  if (text.startsWith('[')) {
    if (!text.endsWith(']') || !isIPv6(text.slice(1, -1)) || text.includes('%')) return null
    return text.toLowerCase()
  }
  let host = text.toLowerCase()
  if (host.endsWith('.')) host = host.slice(0, -1)
  if (host.length === 0 || host.length > 253) return null
  return /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(host) ? host : null
}

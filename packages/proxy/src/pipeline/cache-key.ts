import type { QueryRuleConfig } from '../config/config.ts'
import type { Fields } from '../http/fields.ts'
import type { Rule } from './site.ts'

/**
 * The primary cache key: tenant, scheme, host and target. A line feed, which no part can contain, keeps the parts from
 * running into each other.
 */
export function cacheKey(
  tenantId: string,
  scheme: 'http' | 'https',
  authority: string,
  target: string,
): string {
  return `${tenantId}\n${scheme}://${authority}${target}`
}

/** What the rule's `key` option adds; '' when nothing. It stays beside the key, so that a purge by URL covers it all. */
export function keyExtra(rule: Rule, fields: Fields): string {
  if (rule.keyHeaders.length === 0 && rule.keyCookies.length === 0) return ''
  let extra = ''
  for (const name of rule.keyHeaders) extra += keyPart('h', name, fields.get(name))
  if (rule.keyCookies.length > 0) {
    const cookies = parseCookies(fields.get('cookie'))
    for (const name of rule.keyCookies) extra += keyPart('c', name, cookies.get(name))
  }
  return extra
}

/** Absent and empty differ. */
function keyPart(kind: 'h' | 'c', name: string, value: string | undefined): string {
  return value === undefined ? `\n${kind}:${name}` : `\n${kind}:${name}=${value}`
}

/** The first value of each cookie (RFC 6265 §5.4 sends the most specific first). */
function parseCookies(value: string | undefined): Map<string, string> {
  const cookies = new Map<string, string>()
  if (value === undefined) return cookies
  for (const pair of value.split(/[;,]/)) {
    const equals = pair.indexOf('=')
    if (equals < 0) continue
    const name = pair.slice(0, equals).trim()
    if (!cookies.has(name)) cookies.set(name, pair.slice(equals + 1).trim())
  }
  return cookies
}

/**
 * The target with its query as the rule wants it. What the rule takes out of the key the origin does not get to see
 * either: an input that changes the answer but not the key is how caches are poisoned.
 */
export function targetByRule(target: string, rule: QueryRuleConfig): string {
  if (rule.mode === 'keep') return target
  const mark = target.indexOf('?')
  if (mark < 0) return target
  const path = target.slice(0, mark)
  if (rule.mode === 'ignore') return path
  let parameters = target.slice(mark + 1).split('&')
  if (rule.mode === 'keep-only')
    parameters = parameters.filter((p) => rule.names.includes(nameOf(p)))
  else if (rule.mode === 'drop')
    parameters = parameters.filter((p) => !rule.names.includes(nameOf(p)))
  else parameters = sortedByName(parameters)
  return parameters.length === 0 ? path : `${path}?${parameters.join('&')}`
}

/** Parameters of one name keep their order: it may matter to the origin. */
function sortedByName(parameters: string[]): string[] {
  return parameters
    .map((text) => ({ text, name: nameOf(text) }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ text }) => text)
}

function nameOf(parameter: string): string {
  const equals = parameter.indexOf('=')
  const raw = equals < 0 ? parameter : parameter.slice(0, equals)
  if (!raw.includes('%') && !raw.includes('+')) return raw
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '))
  } catch {
    // Not UTF-8 behind the escapes: the origin may still know it by its bytes.
    return raw
  }
}

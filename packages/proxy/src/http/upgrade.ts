import { isToken, listMembers } from './field-syntax.ts'
import type { Fields } from './fields.ts'

/** Lists of tokens: an octet that only some readers take for white space makes the list mean two things. */
const LIST_TEXT = /^[\t\x20-\x7e]*$/

/**
 * The protocols that an HTTP/1.1 request offers to switch to, spelt as they came, the one that the client likes best
 * first (RFC 9110 §7.8). null when it offers none that count: then Upgrade is ignored, as a server always may.
 */
export function offeredProtocols(fields: Fields): readonly string[] | null {
  const upgrade = fields.get('upgrade')
  const connection = fields.get('connection')
  if (upgrade === undefined || connection === undefined) return null
  if (!LIST_TEXT.test(upgrade) || !LIST_TEXT.test(connection)) return null
  const options = listMembers(connection.toLowerCase())
  // RFC 9110 §7.8: an Upgrade without the option may have been meant for another hop.
  if (!options.includes('upgrade')) return null
  // RFC 9112 §9.6: the connection ends behind this answer, and also goes on in another protocol. Refused by neither
  // section; we take the reading in which no octet behind the request means anything.
  if (options.includes('close')) return null
  const protocols = listMembers(upgrade)
  return protocols.length > 0 && protocols.every(isProtocol) ? protocols : null
}

/** The protocol as the client spelt it; null when it offered no such one. Names have no case (RFC 9110 §7.8). */
export function offeredAs(offered: readonly string[], protocol: string): string | null {
  const wanted = comparable(protocol)
  return offered.find((candidate) => comparable(candidate) === wanted) ?? null
}

/** What an extended CONNECT asks for (RFC 8441 §4), as the one offer that it is; null when it is no protocol. */
export function offeredByConnect(protocol: string): readonly string[] | null {
  return isProtocol(protocol) ? [protocol] : null
}

/** RFC 9110 §7.8: protocol-name ["/" protocol-version], tokens both. */
function isProtocol(text: string): boolean {
  const parts = text.split('/')
  return parts.length <= 2 && parts.every(isToken)
}

/** The name in lower case; the version as it is. */
function comparable(protocol: string): string {
  const slash = protocol.indexOf('/')
  if (slash < 0) return protocol.toLowerCase()
  return protocol.slice(0, slash).toLowerCase() + protocol.slice(slash)
}

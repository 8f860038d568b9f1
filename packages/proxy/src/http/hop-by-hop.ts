import { listMembers } from './field-syntax.ts'
import type { Fields } from './fields.ts'

/** Fields of one connection only (RFC 9110 §7.6.1), whether Connection names them or not. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

const PROXY_FIELDS: ReadonlySet<string> = new Set([
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
])

/** Never taken for a connection option: a client could otherwise make the proxy drop what it relies on. */
const NOT_NOMINABLE: ReadonlySet<string> = new Set(['host', 'content-length', 'cache-control'])

/** The section without hop-by-hop fields, those that its Connection names included (RFC 9110 §7.6.1). */
export function endToEnd(fields: Fields): Fields {
  const nominated = nominatedByConnection(fields)
  return fields.without((name) => {
    if (HOP_BY_HOP.has(name) || PROXY_FIELDS.has(name)) return true
    return nominated?.has(name) ?? false
  })
}

/** The section without the fields that its Connection names; the same section when there are none. */
export function withoutNominated(fields: Fields): Fields {
  const nominated = nominatedByConnection(fields)
  if (
    nominated === undefined ||
    !fields.list.some((text, i) => i % 2 === 0 && nominated.has(text))
  ) {
    return fields
  }
  return fields.without((name) => nominated.has(name))
}

/** A field by which one hop frames, secures or switches its connection; never one to be passed on. */
export function isOfConnection(name: string): boolean {
  return HOP_BY_HOP.has(name) || PROXY_FIELDS.has(name) || name === 'content-length'
}

function nominatedByConnection(fields: Fields): Set<string> | undefined {
  const connection = fields.get('connection')
  if (connection === undefined) return undefined
  const names = new Set<string>()
  for (const option of listMembers(connection)) {
    const name = option.toLowerCase()
    if (!NOT_NOMINABLE.has(name)) names.add(name)
  }
  return names
}

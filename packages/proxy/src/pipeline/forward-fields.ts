import { isIPv6 } from 'node:net'
import { hasOnlyKnownCodings, normaliseAcceptEncoding } from '../caching/normalise-accept.ts'
import { listMembers } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import { endToEnd, isOfConnection } from '../http/hop-by-hop.ts'
import type { ClientFacts, RequestHead } from '../transport/exchange.ts'

/**
 * Request fields by which origins and frameworks let a client choose another host, path, method, address or scheme.
 * None is part of the cache key, so none may reach an origin: what it changes in one client's answer would be stored
 * for all. Those that are ours to set are set below.
 */
const UNKEYED_INPUTS: ReadonlySet<string> = new Set([
  'client-ip',
  'cf-connecting-ip',
  'cluster-client-ip',
  'fastly-client-ip',
  'forwarded-for',
  'forwarded-host',
  'forwarded-proto',
  'front-end-https',
  'proxy',
  'true-client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-forward-for',
  'x-forwarded',
  'x-forwarded-by',
  'x-forwarded-path',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-protocol',
  'x-forwarded-scheme',
  'x-forwarded-server',
  'x-forwarded-ssl',
  'x-forwarded-uri',
  'x-forwarded-url',
  'x-host',
  'x-http-destinationurl',
  'x-http-host-override',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-host',
  'x-original-uri',
  'x-original-url',
  'x-originating-ip',
  'x-proxy-url',
  'x-proxyuser-ip',
  'x-real-ip',
  'x-remote-addr',
  'x-remote-ip',
  'x-request-uri',
  'x-rewrite-uri',
  'x-rewrite-url',
  'x-scheme',
  'x-url-scheme',
  'x-wap-profile',
])

const OURS: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'host',
  'via',
  'expect',
  'max-forwards',
  'trailer',
])

/** Conditions and ranges that this cache evaluates itself. */
const CACHE_CONDITIONS: ReadonlySet<string> = new Set([
  'if-none-match',
  'if-modified-since',
  'if-range',
  'range',
])

export interface ForwardOptions {
  /** Host field for the origin; '' leaves it to the origin's own authority. */
  readonly host: string
  /** This proxy's name in Via (RFC 9110 §7.6.3). */
  readonly pseudonym: string
  /** The peer is trusted: its Forwarded and X-Forwarded-For are continued, otherwise replaced. */
  readonly trustedPeer: boolean
  /** The response may be stored: the client's conditions and range stay here. */
  readonly forCache: boolean
}

/** The fields an origin gets to see. */
export function forwardFields(
  request: RequestHead,
  client: ClientFacts,
  options: ForwardOptions,
): Fields {
  const fields = endToEnd(request.fields).without(
    (name) =>
      OURS.has(name) ||
      UNKEYED_INPUTS.has(name) ||
      // A CGI origin cannot tell X_Forwarded_Host from X-Forwarded-Host.
      (name.includes('_') && isUnkeyedSpelling(name)) ||
      (options.forCache && CACHE_CONDITIONS.has(name)),
  )
  const list = options.host === '' ? [] : ['host', options.host]
  for (const [name, value] of fields) list.push(name, value)
  fields.list.length = 0
  fields.list.push(...list)
  if (options.forCache) showKnownCodingsOnly(fields)
  addForwarding(fields, request, client, options)
  return fields
}

function isUnkeyedSpelling(name: string): boolean {
  const dashed = name.replaceAll('_', '-')
  return UNKEYED_INPUTS.has(dashed) || OURS.has(dashed) || isOfConnection(dashed)
}

/** What the variant key leaves out of Accept-Encoding the origin must not see either. */
function showKnownCodingsOnly(fields: Fields): void {
  const accepted = fields.get('accept-encoding')
  if (accepted === undefined || hasOnlyKnownCodings(accepted)) return
  fields.set('accept-encoding', normaliseAcceptEncoding(accepted))
}

function addForwarding(
  fields: Fields,
  request: RequestHead,
  client: ClientFacts,
  { pseudonym, trustedPeer }: ForwardOptions,
): void {
  const before = (name: string) => (trustedPeer ? request.fields.get(name) : undefined)
  const append = (earlier: string | undefined, own: string) =>
    earlier === undefined ? own : `${earlier}, ${own}`
  fields.add('x-forwarded-for', append(before('x-forwarded-for'), client.address))
  fields.add('x-forwarded-proto', request.scheme)
  if (request.authority !== '') fields.add('x-forwarded-host', request.authority)
  fields.add('forwarded', append(before('forwarded'), forwardedElement(request, client)))
  const version =
    request.httpVersion === '2' ? '2.0' : request.httpVersion === '3' ? '3.0' : request.httpVersion
  fields.add('via', append(request.fields.get('via'), `${version} ${pseudonym}`))
}

/** RFC 7239 §4, §6: an IPv6 address goes in brackets and quotes. */
function forwardedElement(request: RequestHead, client: ClientFacts): string {
  const address = isIPv6(client.address) ? `"[${client.address}]"` : client.address
  const host = request.authority === '' ? '' : `;host=${quotedIfNeeded(request.authority)}`
  return `for=${address}${host};proto=${request.scheme}`
}

function quotedIfNeeded(text: string): string {
  return /^[a-z0-9._-]+$/.test(text) ? text : `"${text}"`
}

/** True when this proxy stands in the request's Via already (RFC 9110 §7.6.3). */
export function hasLooped(request: Fields, pseudonym: string): boolean {
  const via = request.get('via')
  if (via === undefined) return false
  return listMembers(via).some((member) => member.split(/[ \t]+/)[1] === pseudonym)
}

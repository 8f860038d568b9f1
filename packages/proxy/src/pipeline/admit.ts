import { parseAuthority } from '../http/authority.ts'
import { ProxyError } from '../http/proxy-error.ts'
import type { Exchange } from '../transport/exchange.ts'
import type { Site, Tenant } from './site.ts'

/** The tenant that a request is for, or why it is not served. */
export function admit(exchange: Exchange, site: Site): Tenant | ProxyError {
  const { request, client } = exchange
  const host = hostOf(request.authority, request.scheme)
  const tenant = site.tenantOf(host)
  if (tenant === undefined) {
    return host === '' ? new ProxyError('HOST_MISSING') : new ProxyError('HOST_UNKNOWN', [host])
  }
  // RFC 9110 §7.4, §15.5.20: the certificate shown was another tenant's.
  if (client.serverName !== undefined && site.tenantOf(client.serverName) !== tenant) {
    return new ProxyError('HOST_NOT_OF_CONNECTION', [client.serverName, host])
  }
  // CONNECT asks for a tunnel, TRACE echoes fields that no page may read: neither is for a cache in front of origins.
  if (request.method === 'CONNECT' || request.method === 'TRACE') {
    return new ProxyError('METHOD_REFUSED', [request.method])
  }
  return tenant
}

function hostOf(authority: string, scheme: 'http' | 'https'): string {
  return authority === '' ? '' : (parseAuthority(authority, scheme)?.host ?? '')
}

import { isIP } from 'node:net'
import { parseAuthority } from '../http/authority.ts'

interface GuardedRequest {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly secFetchSite: string | undefined
}

/**
 * Keeps pages of other sites, opened in a browser on this machine, from talking to the admin API. Returns the reason
 * to refuse, or undefined. `checkHost` where no token is asked for: a name that an attacker points to 127.0.0.1
 * (DNS rebinding) is same-origin for the browser, only Host gives it away.
 */
export function crossSiteReason(request: GuardedRequest, checkHost: boolean): string | undefined {
  const { host, origin, secFetchSite } = request
  const authority = parseAuthority(host ?? '', 'http')
  if (authority === null) return 'The Host field is missing or malformed.'
  if (checkHost) {
    const name = authority.host
    const isAddress = isIP(name.startsWith('[') ? name.slice(1, -1) : name) !== 0
    if (!isAddress && name !== 'localhost' && !name.endsWith('.localhost')) {
      return `'${name}' is not a name of this listener. Use its address or localhost.`
    }
  }
  if (secFetchSite === 'cross-site' || secFetchSite === 'same-site') {
    return 'Requests from pages of other sites are refused.'
  }
  if (origin !== undefined && origin !== `http://${authority.text}`) {
    return 'Requests from pages of other origins are refused.'
  }
  return undefined
}

import type { ResolveUrl } from '@larder/purge-bus'
import type { Config } from '../config/config.ts'
import { parseAuthority } from '../http/authority.ts'
import { normaliseTarget } from '../http/request-target.ts'
import { cacheKey, targetByRule } from './cache-key.ts'
import { compileSite, type Site } from './site.ts'

const SCHEMES = ['http', 'https'] as const

/**
 * The cache keys that a purge's URL names. Its scheme does not count: whoever purges a page means what is stored of it,
 * over whichever it came. Host and port do: the URL is the one that clients ask for.
 */
export function resolveUrl(site: Site): ResolveUrl {
  return (url, type) => {
    const parts = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(url)
    if (parts === null) return []
    const scheme = parts[1].toLowerCase() === 'https' ? 'https' : 'http'
    const authority = parseAuthority(parts[2], scheme)
    const tenant = authority === null ? undefined : site.tenantOf(authority.host)
    if (authority === null || tenant === undefined) return []
    const target = normaliseTarget(withSlash(inAscii(parts[3])))
    if (target === null) return []
    const mark = target.indexOf('?')
    const { query } = tenant.ruleFor(mark < 0 ? target : target.slice(0, mark), 'GET')
    const named = type === 'url' ? targetByRule(target, query) : target
    return SCHEMES.map((each) => ({
      tenant: tenant.id,
      key: cacheKey(tenant.id, each, authority.text, named),
    }))
  }
}

/** The same, straight from a configuration. */
export function resolveUrlBy(config: Pick<Config, 'tenants'>): ResolveUrl {
  return resolveUrl(compileSite(config))
}

function withSlash(target: string): string {
  return target.startsWith('/') ? target : `/${target}`
}

/** As a browser would send it. */
function inAscii(target: string): string {
  return target.replace(/[^\x21-\x7e]+/g, (text) => encodeURI(text))
}

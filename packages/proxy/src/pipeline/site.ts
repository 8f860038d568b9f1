import { type CacheRule, DEFAULT_RULE } from '../caching/cache-rule.ts'
import type {
  Config,
  QueryRuleConfig,
  RuleConfig,
  TagsConfig,
  TenantConfig,
} from '../config/config.ts'
import { compileRedirect, type HttpsRedirect } from './https-redirect.ts'
import { compilePathPattern } from './path-matcher.ts'
import { strictTransportOf } from './strict-transport.ts'

/** The tenants of a configuration, compiled for look-up: made once per configuration, then only read. */
export interface Site {
  readonly tenants: readonly Tenant[]
  /** The tenant of a canonical host name, without port. */
  tenantOf(host: string): Tenant | undefined
}

export interface Tenant {
  readonly id: string
  readonly config: TenantConfig
  /** What a connection must have been verified for; null = nothing. */
  readonly requiredCertificate: string | null
  /** Likewise for the subject to be told, in log and field; null = nobody is asked. */
  readonly requestedCertificate: string | null
  /** The field in which the origin gets the verified subject; null = it does not. */
  readonly subjectField: string | null
  /** Strict-Transport-Security of what goes out over TLS; null = as the origin has it. */
  readonly strictTransport: string | null
  /** For requests by plain HTTP; null = they are served. */
  readonly redirect: HttpsRedirect | null
  ruleFor(path: string, method: string): Rule
}

export interface Rule {
  /** Its path pattern; for the log. */
  readonly name: string
  readonly cache: CacheRule
  readonly query: QueryRuleConfig
  readonly keyHeaders: readonly string[]
  readonly keyCookies: readonly string[]
  /** True when nothing but host and target make the key. */
  readonly plainKey: boolean
}

/** `httpsPort`: where clients find HTTPS when the configuration does not say; asked at each redirection. */
export function compileSite(
  config: Pick<Config, 'tenants'>,
  httpsPort: () => number = () => 443,
): Site {
  const exact = new Map<string, Tenant>()
  // '*.example.org' covers one more label, as a certificate for it does (RFC 9525 §6.3).
  const wildcard = new Map<string, Tenant>()
  let fallback: Tenant | undefined
  const tenants = config.tenants.map((tenant) => compileTenant(tenant, httpsPort))
  for (const tenant of tenants) {
    for (const host of tenant.config.hosts) {
      if (host === '*') fallback = tenant
      else if (host.startsWith('*.')) wildcard.set(host.slice(2), tenant)
      else exact.set(host, tenant)
    }
  }
  return {
    tenants,
    tenantOf(host) {
      const found = exact.get(host)
      if (found !== undefined) return found
      const dot = host.indexOf('.')
      return (dot > 0 ? wildcard.get(host.slice(dot + 1)) : undefined) ?? fallback
    },
  }
}

function compileTenant(config: TenantConfig, httpsPort: () => number): Tenant {
  const { clientCertificate } = config
  const subjectField = clientCertificate?.header ?? null
  const noRule = ruleWithout(config.tags, subjectField)
  const rules = config.rules.map((rule) => ({
    methods: rule.methods,
    matches: compilePathPattern(rule.path),
    rule: compileRule(rule, noRule),
  }))
  return {
    id: config.id,
    config,
    requiredCertificate: clientCertificate?.mode === 'require' ? clientCertificate.id : null,
    requestedCertificate: clientCertificate?.id ?? null,
    subjectField,
    strictTransport: strictTransportOf(config.hsts),
    redirect: compileRedirect(config.redirectToHttps, httpsPort),
    ruleFor(path, method) {
      for (const { methods, matches, rule } of rules) {
        if (matches(path) && (methods === undefined || methods.includes(method))) return rule
      }
      return noRule
    },
  }
}

/** What holds where no rule does. */
function ruleWithout(
  { maxBytes, maxCount, show }: TagsConfig,
  credentialField: string | null,
): Rule {
  return Object.freeze({
    name: '',
    cache: Object.freeze({
      ...DEFAULT_RULE,
      tagLimits: { maxBytes, maxCount },
      showTags: show,
      credentialField,
    }),
    query: { mode: 'keep' } as const,
    keyHeaders: [],
    keyCookies: [],
    plainKey: true,
  })
}

function compileRule({ path, cache }: RuleConfig, noRule: Rule): Rule {
  if (cache.mode === 'bypass') {
    return { ...noRule, name: path, cache: { ...noRule.cache, bypass: true } }
  }
  const keyHeaders = cache.keyHeaders.map((name) => name.toLowerCase())
  const { credentialField } = noRule.cache
  const isKeyed = credentialField !== null && keyHeaders.includes(credentialField)
  return {
    name: path,
    cache: {
      ...noRule.cache,
      bypass: false,
      credentialField: isKeyed ? null : credentialField,
      ttlMs: cache.ttlMs,
      defaultTtlMs: cache.defaultTtlMs,
      minTtlMs: cache.minTtlMs,
      maxTtlMs: cache.maxTtlMs,
      staleWhileRevalidateMs: cache.staleWhileRevalidateMs,
      staleIfErrorMs: cache.staleIfErrorMs,
      honourRequestDirectives: cache.requestDirectives === 'honour',
      honourOriginDirectives: cache.originDirectives === 'honour',
      storeSetCookie: cache.storeSetCookie,
      slice: cache.slice ?? 'automatic',
    },
    query: cache.query,
    keyHeaders,
    keyCookies: cache.keyCookies,
    plainKey:
      cache.query.mode === 'keep' && cache.keyHeaders.length === 0 && cache.keyCookies.length === 0,
  }
}

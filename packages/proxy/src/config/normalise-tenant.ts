import { coversName, type KeyKind } from '@larder/certs'
import { parseAuthority } from '../http/authority.ts'
import type {
  CacheRuleConfig,
  CertificateConfig,
  CertificateFilesConfig,
  HostHeaderConfig,
  OriginConfig,
  QueryRuleConfig,
  StoreRuleConfig,
  TenantConfig,
} from './config.ts'
import {
  normaliseHsts,
  normaliseRedirect,
  readClientCertificate,
  readOriginTls,
} from './normalise-tls.ts'
import type { Problems } from './problems.ts'
import { readPair } from './read-pair.ts'
import type { WrittenCacheRule, WrittenTenant } from './schema-tenant.ts'
import type { ConfigSources } from './secrets.ts'
import { parseDurationMs, parseSizeBytes } from './units.ts'

/** Called only for a tenant that has passed the schema. */
export function normaliseTenant(
  written: WrittenTenant,
  path: string,
  sources: ConfigSources,
  problems: Problems,
): TenantConfig {
  const hosts = written.hosts.map(canonicalHostPattern)
  const { connect, firstByte, idle } = written.originTimeouts ?? {}
  return {
    id: written.id,
    hosts,
    origins: written.origins.map(normaliseOrigin),
    originTimeouts: {
      connectMs: optionalMs(connect) ?? 0,
      firstByteMs: optionalMs(firstByte) ?? 0,
      idleMs: optionalMs(idle) ?? 0,
    },
    originTls: readOriginTls(written, `${path}.originTls`, sources, problems),
    originMaxConnections: written.originMaxConnections ?? 1,
    hostHeader: normaliseHostHeader(written.hostHeader ?? 'client'),
    certificate: readCertificate(written, hosts, `${path}.certificate`, sources, problems),
    clientCertificate: readClientCertificate(
      written,
      `${path}.clientCertificate`,
      sources,
      problems,
    ),
    hsts: normaliseHsts(written, `${path}.hsts`, problems),
    redirectToHttps: normaliseRedirect(written, `${path}.redirectToHttps`, problems),
    tags: {
      maxBytes: parseSizeBytes(written.tags?.maxSize ?? '') ?? 0,
      maxCount: written.tags?.maxCount ?? 0,
      show: written.tags?.show ?? false,
    },
    rules: (written.rules ?? []).map((rule) => ({
      path: rule.path,
      methods: rule.methods,
      cache: normaliseCacheRule(rule.cache),
    })),
  }
}

/** Lower case, without a final dot; wildcards as they are. */
export function canonicalHostPattern(text: string): string {
  if (text === '*') return text
  if (text.startsWith('*.')) return `*.${canonicalHostPattern(text.slice(2))}`
  return parseAuthority(text, 'http')?.host ?? text
}

function normaliseOrigin(written: WrittenTenant['origins'][number]): OriginConfig {
  const url = new URL(written.url)
  return {
    name: written.name ?? url.host,
    url: `${url.protocol}//${url.host}`,
    backup: written.backup ?? false,
  }
}

function normaliseHostHeader(text: string): HostHeaderConfig {
  if (text === 'client' || text === 'origin') return { mode: text }
  return { mode: 'name', name: text.toLowerCase() }
}

function normaliseCacheRule(written: WrittenCacheRule | 'bypass' | undefined): CacheRuleConfig {
  if (written === 'bypass') return { mode: 'bypass' }
  const rule = written ?? {}
  return {
    mode: 'store',
    ttlMs: optionalMs(rule.ttl),
    defaultTtlMs: optionalMs(rule.defaultTtl),
    minTtlMs: optionalMs(rule.minTtl),
    maxTtlMs: optionalMs(rule.maxTtl),
    staleWhileRevalidateMs: optionalMs(rule.staleWhileRevalidate),
    staleIfErrorMs: optionalMs(rule.staleIfError),
    slice: normaliseSlice(rule.slice),
    query: normaliseQuery(rule.query ?? 'keep'),
    // Field names are case-insensitive (RFC 9110 §5.1), cookie names are not (RFC 6265 §4.1).
    keyHeaders: (rule.key?.headers ?? []).map((name) => name.toLowerCase()),
    keyCookies: rule.key?.cookies ?? [],
    requestDirectives: rule.requestDirectives ?? 'honour',
    originDirectives: rule.originDirectives ?? 'honour',
    storeSetCookie: rule.storeSetCookie ?? false,
  } satisfies StoreRuleConfig
}

function normaliseSlice(text: string | undefined): StoreRuleConfig['slice'] {
  return text === undefined || text === 'off' ? text : parseSizeBytes(text)
}

function normaliseQuery(written: NonNullable<WrittenCacheRule['query']>): QueryRuleConfig {
  if (typeof written === 'string') return { mode: written }
  if (written.keep !== undefined) return { mode: 'keep-only', names: written.keep }
  return { mode: 'drop', names: written.drop ?? [] }
}

function readCertificate(
  written: WrittenTenant,
  hosts: readonly string[],
  path: string,
  sources: ConfigSources,
  problems: Problems,
): CertificateConfig | undefined {
  const { certificate } = written
  if (certificate === undefined) return undefined
  if (certificate === 'acme') {
    const none = { certFile: undefined, keyFile: undefined, certPem: '', keyPem: '' }
    return { source: 'acme', also: [], ...none }
  }
  const {
    certFile,
    keyFile,
    selfSigned,
    also = [],
  } = certificate === 'self-signed'
    ? { certFile: undefined, keyFile: undefined, selfSigned: true }
    : certificate
  if (selfSigned && certFile === undefined && keyFile === undefined && also.length === 0) {
    return { source: 'self-signed', certFile, keyFile, certPem: '', keyPem: '', also: [] }
  }
  if (selfSigned || certFile === undefined || keyFile === undefined) {
    problems.error(path, "Give both certFile and keyFile, or 'self-signed' alone.")
    return undefined
  }
  const reader = { hosts, sources, problems, kinds: new Set<KeyKind>() }
  const first = readPairOf({ certFile, keyFile }, path, reader)
  const others = also.map((one, index) => readPairOf(one, `${path}.also[${index}]`, reader))
  if (first === undefined) return undefined
  return { source: 'files', ...first, also: others.filter((one) => one !== undefined) }
}

interface PairReader {
  readonly hosts: readonly string[]
  readonly sources: ConfigSources
  readonly problems: Problems
  /** Of the keys until now. */
  readonly kinds: Set<KeyKind>
}

function readPairOf(
  files: { readonly certFile: string; readonly keyFile: string },
  path: string,
  { hosts, sources, problems, kinds }: PairReader,
): CertificateFilesConfig | undefined {
  const read = readPair(files, path, sources, problems)
  if (read === undefined) return undefined
  const { facts, ...pair } = read
  if (kinds.has(facts.keyKind)) {
    problems.error(
      `${path}.certFile`,
      `'${files.certFile}' has a key of the same kind as the one before. Give one with an ECDSA key and one with an RSA key.`,
    )
  }
  kinds.add(facts.keyKind)
  const uncovered = hosts.filter((host) => host !== '*' && !coversName(facts, host))
  if (uncovered.length > 0) {
    const shown = uncovered.slice(0, 5).join(', ')
    problems.warn(
      `${path}.certFile`,
      `The certificate in '${files.certFile}' is not for ${shown}: browsers will refuse it there.`,
    )
  }
  return pair
}

function optionalMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDurationMs(text)
}

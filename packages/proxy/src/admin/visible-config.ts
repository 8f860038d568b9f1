import type { Config, OriginTlsConfig, RedisConfig, WarmConfig } from '../config/config.ts'

/** The configuration in force without anything that would let someone in. */
export function visibleConfig(config: Config): Record<string, unknown> {
  return {
    ...config,
    redis: config.redis === undefined ? undefined : visibleRedis(config.redis),
    certificates: { ...config.certificates, sealKeys: undefined },
    warm: config.warm === undefined ? undefined : visibleWarm(config.warm),
    admin: {
      tokens: config.admin.tokens.map(({ name, role, tenant }) => ({ name, role, tenant })),
    },
    tenants: config.tenants.map((tenant) => {
      const { certificate, originTls } = tenant
      const visible = { ...tenant, originTls: visibleOriginTls(originTls) }
      if (certificate === undefined) return visible
      const { source, certFile, keyFile } = certificate
      return { ...visible, certificate: { source, certFile, keyFile } }
    }),
  }
}

function visibleOriginTls({ client, ...rest }: OriginTlsConfig): Record<string, unknown> {
  if (client === undefined) return rest
  const { certFile, keyFile } = client
  return { ...rest, client: { certFile, keyFile } }
}

function visibleWarm({ source, ...rest }: WarmConfig): Record<string, unknown> {
  if (source.kind !== 'sibling') return { source, ...rest }
  const { token, ...place } = source
  return { source: { ...place, hasToken: token !== undefined }, ...rest }
}

function visibleRedis(redis: RedisConfig): Record<string, unknown> {
  const { password, caPem, ...rest } = redis
  return {
    ...rest,
    url: withoutPassword(redis.url),
    cluster: redis.cluster.map(withoutPassword),
    sentinels: redis.sentinels.map(withoutPassword),
    hasPassword: password !== undefined,
    hasAuthority: caPem !== undefined,
  }
}

function withoutPassword(text: string | undefined): string | undefined {
  if (text === undefined || !URL.canParse(text)) return text === undefined ? undefined : '[removed]'
  const url = new URL(text)
  if (url.password !== '') url.password = 'removed'
  return url.href
}

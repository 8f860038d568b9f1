import type { Config } from '../config/config.ts'

/** The configuration in force without anything that would let someone in. */
export function visibleConfig(config: Config): Record<string, unknown> {
  return {
    ...config,
    redis:
      config.redis === undefined
        ? undefined
        : {
            ...config.redis,
            url: withoutPassword(config.redis.url),
            cluster: config.redis.cluster.map(withoutPassword),
            sentinels: config.redis.sentinels.map(withoutPassword),
          },
    admin: {
      tokens: config.admin.tokens.map(({ name, role, tenant }) => ({ name, role, tenant })),
    },
    tenants: config.tenants.map((tenant) => {
      const { certificate } = tenant
      if (certificate === undefined) return tenant
      const { source, certFile, keyFile } = certificate
      return { ...tenant, certificate: { source, certFile, keyFile } }
    }),
  }
}

function withoutPassword(text: string | undefined): string | undefined {
  if (text === undefined || !URL.canParse(text)) return text === undefined ? undefined : '[removed]'
  const url = new URL(text)
  if (url.password !== '') url.password = 'removed'
  return url.href
}

import type { DevelopmentAuthority } from '@larder/certs'
import type { Config, TenantConfig } from '../config/config.ts'

/** The same configuration with what 'self-signed' stands for filled in. */
export async function withIssuedCertificates(
  config: Config,
  authority: DevelopmentAuthority,
): Promise<Config> {
  const tenants: TenantConfig[] = []
  for (const tenant of config.tenants) {
    const { certificate } = tenant
    if (certificate?.source !== 'self-signed' || certificate.certPem !== '') {
      tenants.push(tenant)
      continue
    }
    const pair = await authority.certificateFor(tenant.id, tenant.hosts)
    tenants.push(
      Object.freeze({ ...tenant, certificate: Object.freeze({ ...certificate, ...pair }) }),
    )
  }
  return Object.freeze({ ...config, tenants: Object.freeze(tenants) })
}

import type { CertificatePair, DevelopmentAuthority } from '@larder/certs'
import type { Config, TenantConfig } from '../config/config.ts'

/**
 * The same configuration with what 'self-signed' and 'acme' stand for filled in. What has not been ordered yet is
 * self-signed meanwhile: the site is there, for whoever does not look at the certificate.
 */
export async function withIssuedCertificates(
  config: Config,
  authority: DevelopmentAuthority,
  ordered: (tenantId: string) => Promise<CertificatePair | null> = async () => null,
): Promise<Config> {
  const tenants: TenantConfig[] = []
  for (const tenant of config.tenants) {
    const { certificate } = tenant
    const isOrdered = certificate?.source === 'acme'
    const isIssuedHere = certificate?.source === 'self-signed' && certificate.certPem === ''
    if (!isOrdered && !isIssuedHere) {
      tenants.push(tenant)
      continue
    }
    const pair =
      (isOrdered ? await ordered(tenant.id) : null) ??
      (await authority.certificateFor(tenant.id, tenant.hosts))
    tenants.push(
      Object.freeze({ ...tenant, certificate: Object.freeze({ ...certificate, ...pair }) }),
    )
  }
  return Object.freeze({ ...config, tenants: Object.freeze(tenants) })
}

/** Of two configurations that differ in nothing else. */
export function sameCertificates(a: Config, b: Config): boolean {
  return a.tenants.every(
    ({ certificate }, index) => certificate?.certPem === b.tenants[index].certificate?.certPem,
  )
}

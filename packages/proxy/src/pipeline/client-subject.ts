import type { Fields } from '../http/fields.ts'
import { ProxyError } from '../http/proxy-error.ts'
import type { ClientFacts, RequestHead } from '../transport/exchange.ts'
import type { Tenant } from './site.ts'

/**
 * Why a client is not served that would have to show a certificate; null when it has, or need not. Its handshake has
 * asked for one, unless the name came in Host alone, or the connection is older than the demand.
 */
export function missingCertificate(tenant: Tenant, client: ClientFacts): ProxyError | null {
  const { requiredCertificate } = tenant
  if (requiredCertificate === null || client.certificate?.demandId === requiredCertificate)
    return null
  return new ProxyError(
    client.secure ? 'CLIENT_CERTIFICATE_OF_OTHER' : 'CLIENT_CERTIFICATE_MISSING',
  )
}

/** Who the client is for this tenant; undefined when that is not known. */
export function subjectOf(tenant: Tenant, client: ClientFacts): string | undefined {
  const { certificate } = client
  if (certificate === null || certificate.demandId !== tenant.requestedCertificate) return undefined
  return certificate.subject
}

/**
 * The request with the verified subject in the tenant's field and nowhere else: what a client has written there itself,
 * or in a spelling that CGI takes for it, is gone.
 */
export function withSubject(
  request: RequestHead,
  field: string,
  subject: string | undefined,
): RequestHead {
  const spelling = field.replaceAll('-', '_')
  // Connection goes too: naming our field in it would take it away again (RFC 9110 §7.6.1). What it named is gone.
  const fields: Fields = request.fields.without(
    (name) => name.replaceAll('-', '_') === spelling || name === 'connection',
  )
  if (subject !== undefined) fields.add(field, subject)
  return { ...request, fields }
}

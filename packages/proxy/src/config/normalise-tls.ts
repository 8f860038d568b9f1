import { createHash, X509Certificate } from 'node:crypto'
import type {
  ClientCertificateConfig,
  HstsConfig,
  OriginClientConfig,
  OriginTlsConfig,
  RedirectConfig,
} from './config.ts'
import type { Problems } from './problems.ts'
import { readPair } from './read-pair.ts'
import type { WrittenTenant } from './schema-tenant.ts'
import { type ConfigSources, readNamedFile } from './secrets.ts'
import { parseDurationMs } from './units.ts'

/** What a tenant says about TLS beside its certificate: with clients, with origins, and that there be any. */

const YEAR_SECONDS = 31_536_000
const REDIRECTIONS: readonly number[] = [301, 302, 307, 308]

/** Fields that frame, route or condition a request: whoever sets one of these breaks it. */
const NOT_FOR_SUBJECTS =
  /^(host|connection|content-.*|transfer-encoding|te|trailer|upgrade|keep-alive|proxy-.*|expect|via|forwarded|x-forwarded-.*|authorization|cookie|cache-control|pragma|range|accept.*|if-.*|max-forwards|larder-.*|proxy|.*-ip|.*-ipaddr|.*-addr|x-(host|scheme|url|http|original|rewrite|method|request|wap|proxy).*|front-end-https)$/

export function readOriginTls(
  { originTls }: WrittenTenant,
  path: string,
  sources: ConfigSources,
  problems: Problems,
): OriginTlsConfig {
  const { caFile, serverName, certFile, keyFile, minVersion = 'TLSv1.2' } = originTls ?? {}
  const caPem =
    caFile === undefined ? undefined : readAuthorities(caFile, `${path}.caFile`, sources, problems)
  let client: OriginClientConfig | undefined
  if (certFile !== undefined && keyFile !== undefined) {
    client = readClientPair(certFile, keyFile, path, sources, problems)
  } else if (certFile !== undefined || keyFile !== undefined) {
    problems.error(path, 'Give both certFile and keyFile, or neither.')
  }
  return { caPem, serverName: serverName?.toLowerCase(), minVersion, client }
}

function readClientPair(
  certFile: string,
  keyFile: string,
  path: string,
  sources: ConfigSources,
  problems: Problems,
): OriginClientConfig | undefined {
  const read = readPair({ certFile, keyFile }, path, sources, problems)
  if (read === undefined) return undefined
  const { facts: _facts, ...pair } = read
  return pair
}

export function readClientCertificate(
  { id: tenantId, clientCertificate }: WrittenTenant,
  path: string,
  sources: ConfigSources,
  problems: Problems,
): ClientCertificateConfig | undefined {
  if (clientCertificate === undefined) return undefined
  const { mode = 'require', caFile } = clientCertificate
  const header = clientCertificate.header?.toLowerCase()
  if (header !== undefined && NOT_FOR_SUBJECTS.test(header)) {
    problems.error(
      `${path}.header`,
      `'${header}' has a meaning of its own. Choose another name, such as 'x-client-subject'.`,
    )
  }
  const caPem = readAuthorities(caFile, `${path}.caFile`, sources, problems)
  if (caPem === undefined) return undefined
  const id = createHash('sha256')
    .update(JSON.stringify([tenantId, mode, caPem]))
    .digest('base64url')
  return { id, mode, caPem, header }
}

export function normaliseHsts(
  { hsts }: WrittenTenant,
  path: string,
  problems: Problems,
): HstsConfig | undefined {
  if (hsts === undefined) return undefined
  const { maxAge = '', includeSubDomains = false, preload = false } = hsts
  const maxAgeSeconds = Math.floor((parseDurationMs(maxAge) ?? 0) / 1000)
  if (preload && (!includeSubDomains || maxAgeSeconds < YEAR_SECONDS)) {
    problems.warn(
      `${path}.preload`,
      'The lists of the browsers take only hosts with includeSubDomains and a maxAge of a year (365d) or more.',
    )
  }
  return { maxAgeSeconds, includeSubDomains, preload }
}

export function normaliseRedirect(
  { redirectToHttps }: WrittenTenant,
  path: string,
  problems: Problems,
): RedirectConfig | undefined {
  if (redirectToHttps === undefined || redirectToHttps === false) return undefined
  if (redirectToHttps === true) return { status: undefined, except: [], port: undefined }
  const { status, except = [], port } = redirectToHttps
  if (status !== undefined && !REDIRECTIONS.includes(status)) {
    problems.error(`${path}.status`, `Expected 301, 302, 307 or 308, got ${status}.`)
  }
  return { status, except, port }
}

/** PEM with one certificate or more; undefined with the problem reported. */
function readAuthorities(
  file: string,
  path: string,
  sources: ConfigSources,
  problems: Problems,
): string | undefined {
  const pem = readNamedFile(file, path, sources, problems)
  if (pem === undefined) return undefined
  try {
    new X509Certificate(pem)
    return pem
  } catch {
    problems.error(path, `'${file}' holds no certificate in PEM form.`)
    return undefined
  }
}

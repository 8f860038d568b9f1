/**
 * Every way in which serving a request can fail, in one table. Codes are never reused; match on `code`. `docs/errors.md`
 * is generated from it.
 */

export type ErrorSource = 'client' | 'config' | 'origin' | 'proxy'

interface ErrorRow {
  readonly source: ErrorSource
  readonly status: number
  /** Error type of Proxy-Status (RFC 9209 §2.3); null when none is sent. */
  readonly proxyStatus: string | null
  /** 'safe': a request whose method is safe may be sent again on another connection. */
  readonly retry: 'safe' | 'never'
  /** `%s` takes the arguments in order. */
  readonly message: string
}

const row = (
  source: ErrorSource,
  status: number,
  proxyStatus: string | null,
  message: string,
  retry: 'safe' | 'never' = 'never',
): ErrorRow => ({ source, status, proxyStatus, retry, message })

export const PROXY_ERRORS = {
  HOST_MISSING: row('client', 400, 'http_request_error', 'The request names no host.'),
  HOST_UNKNOWN: row(
    'client',
    421,
    'destination_not_found',
    "No tenant serves the host '%s'. Add it to `hosts` of a tenant, or ask for a host that is there.",
  ),
  HOST_NOT_OF_CONNECTION: row(
    'client',
    421,
    'destination_not_found',
    "The connection was opened for '%s', which belongs to another tenant than '%s'. Open one for that host.",
  ),
  CLIENT_CERTIFICATE_MISSING: row(
    'client',
    403,
    'http_request_denied',
    'Clients have to show a certificate here, which plain HTTP cannot. Use HTTPS.',
  ),
  CLIENT_CERTIFICATE_OF_OTHER: row(
    'client',
    421,
    'http_request_denied',
    'Clients have to show a certificate here, and this connection was opened without one for this host. Open another, with its name (SNI).',
  ),
  METHOD_REFUSED: row('client', 405, 'http_request_denied', "The method '%s' is not served here."),
  PURGE_REFUSED: row(
    'client',
    403,
    'http_request_denied',
    'PURGE is not allowed from this address. `purge.purgeFrom` names those that may.',
  ),
  BODY_TOO_LARGE: row(
    'client',
    413,
    'http_request_error',
    'The request body is larger than %s bytes (`limits.maxRequestBodySize`).',
  ),
  EXPECTATION_FAILED: row('client', 417, null, "The expectation '%s' is not known."),
  ONLY_IF_CACHED: row(
    'client',
    504,
    null,
    'The request asks for a stored response only (only-if-cached), and none can be used.',
  ),
  LOOP: row(
    'client',
    502,
    'proxy_loop_detected',
    'The request has passed this proxy before. Point the origin of the tenant somewhere else.',
  ),
  ORIGIN_NAME_UNRESOLVED: row(
    'origin',
    502,
    'dns_error',
    "The name of origin '%s' does not resolve. Check its url and the resolver.",
    'safe',
  ),
  ORIGIN_REFUSED: row(
    'origin',
    502,
    'connection_refused',
    "Origin '%s' refused the connection. Is it listening there?",
    'safe',
  ),
  ORIGIN_UNREACHABLE: row(
    'origin',
    502,
    'destination_ip_unroutable',
    "Origin '%s' cannot be reached: %s.",
    'safe',
  ),
  ORIGIN_CONNECT_TIMEOUT: row(
    'origin',
    504,
    'connection_timeout',
    "Origin '%s' did not accept the connection within %s ms (`originTimeouts.connect`).",
    'safe',
  ),
  ORIGIN_TLS: row('origin', 502, 'tls_protocol_error', "TLS with origin '%s' failed: %s.", 'safe'),
  ORIGIN_CERTIFICATE: row(
    'origin',
    502,
    'tls_certificate_error',
    "The certificate of origin '%s' was not accepted: %s.",
  ),
  ORIGIN_CLOSED: row(
    'origin',
    502,
    'connection_terminated',
    "Origin '%s' closed the connection before it had answered.",
    'safe',
  ),
  ORIGIN_FIRST_BYTE_TIMEOUT: row(
    'origin',
    504,
    'http_response_timeout',
    "Origin '%s' did not answer within %s ms (`originTimeouts.firstByte`).",
  ),
  ORIGIN_IDLE_TIMEOUT: row(
    'origin',
    504,
    'connection_read_timeout',
    "Origin '%s' stopped in the middle of its answer for %s ms (`originTimeouts.idle`).",
  ),
  ORIGIN_INVALID_RESPONSE: row(
    'origin',
    502,
    'http_protocol_error',
    "Origin '%s' sent an answer that is no valid HTTP: %s.",
  ),
  ORIGIN_RESPONSE_INCOMPLETE: row(
    'origin',
    502,
    'http_response_incomplete',
    "Origin '%s' cut its answer short.",
  ),
  ORIGIN_CHANGED: row(
    'origin',
    502,
    'http_response_incomplete',
    'The representation changed while it was sent in slices; the answer was cut, and what was stored of it is not used again.',
  ),
  ORIGIN_HEAD_TOO_LARGE: row(
    'origin',
    502,
    'http_response_header_section_size',
    "Origin '%s' sent a field section of more than %s bytes.",
  ),
  ORIGIN_UPGRADE_REFUSED: row(
    'origin',
    502,
    'http_upgrade_failed',
    "Origin '%s' switched protocols without being asked.",
  ),
  ORIGIN_OVERLOADED: row(
    'proxy',
    503,
    'connection_limit_reached',
    "All %s connections to origin '%s' are busy and its queue is full (`originMaxConnections`).",
  ),
  ORIGIN_DOWN: row(
    'origin',
    503,
    'destination_unavailable',
    "No origin of tenant '%s' can be reached; it is tried again in %s ms.",
  ),
  REQUEST_CUT: row(
    'client',
    400,
    'http_request_error',
    'The request body ended before it was complete.',
  ),
  INTERNAL: row('proxy', 500, 'proxy_internal_error', 'Something went wrong in the proxy: %s.'),
} as const satisfies Record<string, ErrorRow>

export type ProxyErrorCode = keyof typeof PROXY_ERRORS

export class ProxyError extends Error {
  readonly code: ProxyErrorCode
  readonly status: number
  readonly proxyStatus: string | null
  readonly retriable: boolean

  constructor(code: ProxyErrorCode, args: readonly (string | number)[] = [], cause?: unknown) {
    const details: ErrorRow = PROXY_ERRORS[code]
    let next = 0
    super(
      details.message.replace(/%s/g, () => String(args[next++])),
      cause === undefined ? undefined : { cause },
    )
    this.name = 'ProxyError'
    this.code = code
    this.status = details.status
    this.proxyStatus = details.proxyStatus
    this.retriable = details.retry === 'safe'
  }
}

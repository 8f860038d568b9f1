import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** Who a client is by its certificate, which has been verified. Plain values: they go from worker to worker as JSON. */
export interface ClientCertificate {
  /** `CN=Alice,O=Example`, most specific first (RFC 4514), in visible ASCII (`subjectText`). */
  readonly subject: string
  /** The demand that it was verified for. */
  readonly demandId: string
}

/** Longer ones are cut: they go into a field section and a log line. */
const MAX_SUBJECT_CHARS = 1024

/** The client's certificate when it has one that verifies and is valid now; for a resumed session as well. */
export function verifiedCertificate(
  secured: TLSSocket,
  demandId: string,
): ClientCertificate | null {
  // RFC 5246 §7.4.8: Node keeps OpenSSL's verdict behind the socket; tls.Server asks for it in the same way.
  const handle = (secured as unknown as { _handle: { verifyError(): Error | null } | null })._handle
  if (handle === null || handle.verifyError() !== null) return null
  const certificate = secured.getPeerX509Certificate()
  if (certificate === undefined) return null
  // A session may be resumed for longer than the certificate is valid, and OpenSSL does not look again.
  const now = Date.now()
  if (certificate.validToDate.getTime() <= now || certificate.validFromDate.getTime() > now) {
    return null
  }
  return { subject: subjectText(certificate), demandId }
}

/**
 * The subject as one line. Whatever is not visible ASCII, and `%` and `"`, is percent-encoded as UTF-8; a comma, a plus
 * or a backslash within a value stands behind a backslash (RFC 4514 §2.4): no value can end its line, its field or its
 * attribute.
 */
export function subjectText(certificate: Pick<X509Certificate, 'subject'>): string {
  // node:crypto gives one attribute a line, the most general first, with RFC 2253 escapes; several of one RDN by " + ".
  const lines = (certificate.subject ?? '').split('\n').reverse()
  const text = lines.filter((line) => line !== '').join(',')
  return text.replace(/[^\x21\x23\x24\x26-\x7e]/gu, percentEncoded).slice(0, MAX_SUBJECT_CHARS)
}

function percentEncoded(character: string): string {
  let text = ''
  for (const octet of Buffer.from(character, 'utf8')) {
    text += `%${octet.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return text
}

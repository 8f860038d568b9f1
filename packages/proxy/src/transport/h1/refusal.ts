import { statusLine } from './response-head.ts'

/** The whole answer to a request that was not understood; the connection closes behind it. */
export function refusal(
  status: number,
  reason: string,
  date: string,
  withoutBody: boolean,
): string {
  const body = `${reason}\n`
  return (
    `${statusLine(status)}date: ${date}\r\ncontent-type: text/plain\r\n` +
    // RFC 9110 §15.5.6: 405 names what is allowed; the one refusal with it is CONNECT, which no resource allows.
    (status === 405 ? 'allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n' : '') +
    `content-length: ${body.length}\r\nconnection: close\r\n\r\n${withoutBody ? '' : body}`
  )
}

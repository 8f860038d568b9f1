import { STATUS_CODES } from 'node:http'
import { isToken } from '../../http/field-syntax.ts'
import type { Fields } from '../../http/fields.ts'

/** Fields that belong to one connection, or that this transport writes itself (RFC 9110 §7.6.1). */
const OWN_FIELDS = new Set([
  'connection',
  'content-length',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`
}

/** RFC 9110 §15.2.2: `protocol` as the client offered it, which makes it a token. */
export function switchingHead(protocol: string, fields: Fields): string {
  const own = `connection: upgrade\r\nupgrade: ${protocol}\r\n`
  return `${statusLine(101)}${own}${fieldLines(fields)}\r\n`
}

/** Status line and lines of a stored response: what an exchange would write before the connection's own fields. */
export function encodeHttp1Head(status: number, fields: Fields): Buffer {
  const length = fields.get('content-length')
  const framing = length === undefined ? '' : fieldLine('content-length', length)
  return Buffer.from(statusLine(status) + framing + fieldLines(fields), 'latin1')
}

/** The end-to-end fields as lines. */
export function fieldLines(fields: Fields): string {
  const list = fields.list
  let text = ''
  for (let i = 0; i < list.length; i += 2) {
    if (!OWN_FIELDS.has(list[i])) text += fieldLine(list[i], list[i + 1])
  }
  return text
}

/**
 * One line, or none when name or value would break the message: everything behind the transport has validated both,
 * this is the last place where response splitting can be stopped. Above U+00FF a char would be cut to another octet.
 */
export function fieldLine(name: string, value: string): string {
  if (!isToken(name) || /[^\t\x20-\x7e\x80-\xff]/.test(value)) return ''
  return `${name}: ${value}\r\n`
}

import { isIPv4, isIPv6 } from 'node:net'

/** Who the client is, as a load balancer in front tells it (PROXY protocol, versions 1 and 2). */
export type ProxyHeader =
  | { readonly kind: 'more' }
  | { readonly kind: 'invalid'; readonly reason: string }
  /** `source` is null when the balancer speaks for itself (health checks) or does not know. */
  | { readonly kind: 'header'; readonly length: number; readonly source: ProxySource | null }

export interface ProxySource {
  readonly address: string
  readonly port: number
  readonly localPort: number
}

/** The longest line that version 1 can be, with its CRLF. */
const MAX_V1_BYTES = 107
/** Version 2 could be 64 KiB; addresses and the known extensions take a few hundred bytes. */
export const MAX_PROXY_HEADER_BYTES = 4096
const V1_START = Buffer.from('PROXY ', 'latin1')
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

/** Reads the header at the beginning of `bytes`; to be asked again with more bytes when it says `more`. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0) return { kind: 'more' }
  if (bytes[0] === V1_START[0]) return parseV1(bytes)
  if (bytes[0] === V2_SIGNATURE[0]) return parseV2(bytes)
  return invalid('it begins with neither signature')
}

function parseV1(bytes: Buffer): ProxyHeader {
  if (!startsAlike(bytes, V1_START)) return invalid("it does not begin with 'PROXY '")
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf('\r\n')
  if (end < 0) {
    return bytes.length >= MAX_V1_BYTES ? invalid('its line does not end') : { kind: 'more' }
  }
  const length = end + 2
  const line = bytes.toString('latin1', V1_START.length, end)
  if (line === 'UNKNOWN' || line.startsWith('UNKNOWN ')) {
    return { kind: 'header', length, source: null }
  }
  const words = line.split(' ')
  const [family, address, localAddress, port, localPort] = words
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : null
  if (isAddress === null || words.length !== 5) return invalid('its line is not six words')
  if (!isAddress(address) || !isAddress(localAddress)) return invalid('its addresses are malformed')
  if (!isPort(port) || !isPort(localPort)) return invalid('its ports are malformed')
  const source = { address, port: Number(port), localPort: Number(localPort) }
  return { kind: 'header', length, source }
}

function parseV2(bytes: Buffer): ProxyHeader {
  if (!startsAlike(bytes, V2_SIGNATURE)) return invalid('its signature is wrong')
  if (bytes.length < 16) return { kind: 'more' }
  const version = bytes[12] >> 4
  const command = bytes[12] & 15
  if (version !== 2 || command > 1) return invalid('its version or command is unknown')
  const size = bytes.readUInt16BE(14)
  const length = 16 + size
  if (length > MAX_PROXY_HEADER_BYTES) return invalid('it is too long')
  const family = bytes[13]
  if (bytes.length < length) return { kind: 'more' }
  // LOCAL: the addresses, if any, are to be ignored. UNSPEC: there are none.
  if (command === 0 || family === 0) return { kind: 'header', length, source: null }
  if (family === 0x11 && size >= 12) {
    const address = bytes.subarray(16, 20).join('.')
    return header(length, address, bytes.readUInt16BE(24), bytes.readUInt16BE(26))
  }
  if (family === 0x21 && size >= 36) {
    return header(length, ipv6(bytes), bytes.readUInt16BE(48), bytes.readUInt16BE(50))
  }
  return invalid('its address family is not TCP over IPv4 or IPv6')
}

function header(length: number, address: string, port: number, localPort: number): ProxyHeader {
  return { kind: 'header', length, source: { address, port, localPort } }
}

/** The address at octet 16 in the canonical text of RFC 5952. */
function ipv6(bytes: Buffer): string {
  const groups: string[] = []
  for (let at = 16; at < 32; at += 2) groups.push(bytes.readUInt16BE(at).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

function startsAlike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length)
  return bytes.compare(start, 0, length, 0, length) === 0
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

function isPort(text: string): boolean {
  return /^(0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535
}

function invalid(reason: string): ProxyHeader {
  return { kind: 'invalid', reason: `The PROXY header is not understood: ${reason}.` }
}

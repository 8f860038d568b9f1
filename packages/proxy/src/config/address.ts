import { isIPv4, isIPv6 } from 'node:net'

export interface Address {
  /** `host:port`, IPv6 in brackets and in lower case. */
  readonly address: string
  /** An IP address without brackets, `localhost`, or '' for every address of the machine. */
  readonly host: string
  readonly port: number
}

/** '0.0.0.0:80', '[::]:80', 'localhost:8080', ':8080'; undefined for everything else. Names are not looked up. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(.*):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[2])
  if (port > 65_535) return undefined
  const written = match[1].toLowerCase()
  if (written === '' || written === 'localhost' || isIPv4(written)) {
    return { address: `${written}:${port}`, host: written, port }
  }
  if (!written.startsWith('[') || !written.endsWith(']')) return undefined
  const host = written.slice(1, -1)
  return isIPv6(host) ? { address: `[${host}]:${port}`, host, port } : undefined
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

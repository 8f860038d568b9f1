import { domainToASCII } from 'node:url'
import ipaddr from 'ipaddr.js'
import { parseAuthority } from '../http/authority.ts'
import { parseAddress } from './address.ts'
import { parseRatePerSecond, parseSizeBytes } from './units.ts'

interface ValueKind {
  readonly expected: string
  /** undefined when the text is good. */
  problem(text: string): string | undefined
}

/** Texts with a grammar of their own. `kind` in the schema names them. */
export const VALUE_KINDS: Readonly<Record<string, ValueKind>> = {
  address: {
    expected: "an address such as '0.0.0.0:80', '[::]:443', 'localhost:8080' or ':8080'",
    problem: (text) =>
      parseAddress(text) === undefined
        ? `Expected 'host:port' such as '0.0.0.0:80', '[::]:443', 'localhost:8080' or ':8080', got '${shown(text)}'.`
        : undefined,
  },
  cidr: {
    expected: "an address or block such as '192.0.2.7' or '10.0.0.0/8'",
    problem: cidrProblem,
  },
  host: {
    expected: 'a host name',
    problem: (text) =>
      text.includes('*')
        ? `Expected one host name, got '${shown(text)}'.`
        : hostPatternProblem(text),
  },
  'host-pattern': {
    expected: "a host name, '*.name' or '*'",
    problem: hostPatternProblem,
  },
  'host-header': {
    expected: "'client', 'origin' or a host name",
    problem: (text) =>
      parseAuthority(text, 'http') === null
        ? `Expected 'client', 'origin' or a host name with an optional port, got '${shown(text)}'.`
        : undefined,
  },
  'origin-url': {
    expected: "a URL such as 'http://10.0.0.5:8080'",
    problem: originUrlProblem,
  },
  token: {
    expected: 'a name',
    // RFC 9110 §5.6.2
    problem: (text) =>
      /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/.test(text)
        ? undefined
        : `Expected a name of letters, digits and -_. (RFC 9110 §5.6.2), got '${shown(text)}'.`,
  },
  'path-pattern': {
    expected: "a path pattern such as '/media/*'",
    problem: pathPatternProblem,
  },
  rate: {
    expected: "a rate such as '50/s' or '600/m'",
    problem: (text) =>
      parseRatePerSecond(text) === undefined
        ? `Expected a rate such as '50/s' or '600/m', got '${shown(text)}'.`
        : undefined,
  },
  'slice-size': {
    expected: "a size from 256KiB to 64MiB such as '4MiB', or 'off'",
    problem: sliceSizeProblem,
  },
}

const MIN_SLICE_BYTES = 256 * 1024
const MAX_SLICE_BYTES = 64 * 1024 * 1024

/** `10.0.0.0/8`, `192.0.2.7` becomes `192.0.2.7/32`; only for text without a problem. */
export function canonicalCidr(text: string): string {
  const [address, length] = text.includes('/')
    ? ipaddr.parseCIDR(text)
    : [ipaddr.parse(text), text.includes(':') ? 128 : 32]
  return `${address.toString()}/${length}`
}

function cidrProblem(text: string): string | undefined {
  const good = text.includes('/')
    ? /^[^/]+\/\d{1,3}$/.test(text) && ipaddr.isValidCIDR(text)
    : ipaddr.IPv6.isValid(text) || ipaddr.IPv4.isValidFourPartDecimal(text)
  // ipaddr.js also reads '10.1' as an address, which nobody means.
  if (good && (text.includes(':') || /^\d+\.\d+\.\d+\.\d+(\/|$)/.test(text))) return undefined
  return `Expected an address or block such as '192.0.2.7', '10.0.0.0/8' or '2001:db8::/32', got '${shown(text)}'.`
}

function hostPatternProblem(text: string): string | undefined {
  if (text === '*') return undefined
  const name = text.startsWith('*.') ? text.slice(2) : text
  const parsed = parseAuthority(name, 'http')
  if (parsed !== null && parsed.port === undefined && !name.includes('*')) {
    return /:\d*$/.test(name) && !name.startsWith('[')
      ? `A host has no port here; write '${parsed.host}'.`
      : undefined
  }
  if (parsed?.port !== undefined) return `A host has no port here; write '${parsed.host}'.`
  if (text.includes('*')) {
    return `'*' stands alone or for the whole first label, as in '*.example.com', got '${shown(text)}'.`
  }
  const ascii = /[^\u0000-\u007f]/.test(name) ? domainToASCII(name) : ''
  if (ascii !== '') return `Write the host in its ASCII form: '${ascii}'.`
  return `Expected a host name such as 'www.example.com', '*.example.com' or '*', got '${shown(text)}'.`
}

function originUrlProblem(text: string): string | undefined {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return `Expected a URL such as 'http://10.0.0.5:8080' or 'https://origin.example', got '${shown(text)}'.`
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return `An origin is reached by http:// or https://, got '${shown(text)}'.`
  }
  if (url.username !== '' || url.password !== '') {
    return 'An origin URL carries no user name or password: secrets do not belong into this file.'
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return `An origin has no path or query of its own; write '${url.protocol}//${url.host}'.`
  }
  return parseAuthority(url.host, 'http') === null
    ? `The host of '${shown(text)}' is not a valid one.`
    : undefined
}

function pathPatternProblem(text: string): string | undefined {
  if (text.length > 2048) return `Expected at most 2048 characters, got ${text.length}.`
  if (text.includes('?') || text.includes('#')) {
    return `A pattern is about the path alone; leave out the query in '${shown(text)}'.`
  }
  if (!/^[\x21-\x7e]+$/.test(text)) {
    return `A path has no spaces and only ASCII; percent-encode the rest of '${shown(text)}'.`
  }
  if (text.startsWith('/') || text.startsWith('*')) return undefined
  return `A path pattern starts with '/' or '*'; write '/${shown(text)}'.`
}

function sliceSizeProblem(text: string): string | undefined {
  if (text === 'off') return undefined
  const bytes = parseSizeBytes(text)
  if (bytes === undefined) {
    return `Expected a size with its unit such as '4MiB', or 'off', got '${shown(text)}'.`
  }
  if (bytes < MIN_SLICE_BYTES) return `Expected at least 256KiB, got '${shown(text)}'.`
  return bytes > MAX_SLICE_BYTES ? `Expected at most 64MiB, got '${shown(text)}'.` : undefined
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80)).slice(1, -1)
}

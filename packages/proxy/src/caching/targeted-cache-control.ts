import { type Dictionary, isInnerList, parseDictionary } from 'structured-headers'
import type { Fields } from '../http/fields.ts'
import {
  type CacheControl,
  MAX_DELTA_SECONDS,
  NO_DIRECTIVES,
  parseCacheControl,
} from './cache-control.ts'

/**
 * Which field of a response speaks to this cache: the targeted ones of RFC 9213 in order, Surrogate-Control for those
 * who still send it, Cache-Control last. The first that is present and valid decides alone; Expires counts only
 * when it is Cache-Control's turn (RFC 9213 §2.1).
 */
export interface ResponseDirectives {
  readonly source:
    | 'larder-cache-control'
    | 'cdn-cache-control'
    | 'surrogate-control'
    | 'cache-control'
  readonly directives: CacheControl
}

const TARGETED = ['larder-cache-control', 'cdn-cache-control'] as const

export function responseDirectives(fields: Fields): ResponseDirectives {
  for (const source of TARGETED) {
    const value = fields.get(source)
    if (value === undefined) continue
    const directives = parseTargeted(value)
    if (directives !== undefined) return { source, directives }
  }
  const surrogate = fields.get('surrogate-control')
  if (surrogate !== undefined) {
    const directives = parseSurrogateControl(surrogate)
    if (directives !== undefined) return { source: 'surrogate-control', directives }
  }
  return { source: 'cache-control', directives: parseCacheControl(fields.get('cache-control')) }
}

/** Fields meant for this cache alone: not passed on to clients. CDN-Cache-Control may have readers further down. */
export const CONSUMED_FIELDS: ReadonlySet<string> = new Set([
  'larder-cache-control',
  'surrogate-control',
])

/** RFC 9213 §2.1: a dictionary; empty or unparsable means the field is ignored. */
function parseTargeted(value: string): CacheControl | undefined {
  let dictionary: Dictionary
  try {
    dictionary = parseDictionary(value)
  } catch {
    // A parsing error is the sender's way of saying nothing (RFC 9213 §2.1): the next field decides.
    return undefined
  }
  if (dictionary.size === 0) return undefined
  const seconds = (name: string): number | undefined => {
    const member = dictionary.get(name)
    if (member === undefined) return undefined
    const item = member[0]
    // RFC 9213 §2.2: the argument is an Integer. Anything else is no freshness to rely on.
    return typeof item === 'number' && Number.isInteger(item) && item >= 0
      ? Math.min(item, MAX_DELTA_SECONDS)
      : 0
  }
  const flag = (name: string): boolean => {
    const member = dictionary.get(name)
    return member !== undefined && member[0] !== false
  }
  const qualified = (name: string): boolean | readonly string[] => {
    const member = dictionary.get(name)
    if (member === undefined || member[0] === false) return false
    if (typeof member[0] === 'string') return member[0].toLowerCase().split(/\s*,\s*/)
    if (isInnerList(member)) return member[0].map(([item]) => String(item).toLowerCase())
    return true
  }
  return {
    ...NO_DIRECTIVES,
    noStore: flag('no-store'),
    noCache: qualified('no-cache'),
    private: qualified('private'),
    public: flag('public'),
    mustRevalidate: flag('must-revalidate'),
    proxyRevalidate: flag('proxy-revalidate'),
    mustUnderstand: flag('must-understand'),
    noTransform: flag('no-transform'),
    immutable: flag('immutable'),
    maxAgeSeconds: seconds('max-age'),
    sMaxAgeSeconds: seconds('s-maxage'),
    staleWhileRevalidateSeconds: seconds('stale-while-revalidate'),
    staleIfErrorSeconds: seconds('stale-if-error'),
  }
}

/**
 * Edge Architecture Specification §2.2: `max-age=600+30` (fresh for 600 s, then usable stale for 30 s), `no-store`,
 * `no-store-remote`; `content` is for processors we are not. Nothing of use in it: the field is ignored.
 */
function parseSurrogateControl(value: string): CacheControl | undefined {
  let noStore = false
  let maxAgeSeconds: number | undefined
  let staleSeconds: number | undefined
  for (const part of value.split(',')) {
    // A parameter after `;` targets one surrogate by name.
    const [directive] = part.trim().toLowerCase().split(';')
    const text = directive.trim()
    if (text === 'no-store' || text === 'no-store-remote') noStore = true
    const maxAge = /^max-age=([0-9]+)(?:\+([0-9]+))?$/.exec(text)
    if (maxAge === null || maxAgeSeconds !== undefined) continue
    maxAgeSeconds = Math.min(Number(maxAge[1]), MAX_DELTA_SECONDS)
    if (maxAge[2] !== undefined) staleSeconds = Math.min(Number(maxAge[2]), MAX_DELTA_SECONDS)
  }
  if (!noStore && maxAgeSeconds === undefined) return undefined
  return { ...NO_DIRECTIVES, noStore, maxAgeSeconds, staleWhileRevalidateSeconds: staleSeconds }
}

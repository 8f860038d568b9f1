import type { ParsedPurge } from './parse-purge.ts'
import type { PurgeMessage, PurgeScope } from './purge-message.ts'

export const MAX_ITEMS = 1_000
const MAX_URL_LENGTH = 8_192
const MAX_TAG_LENGTH = 1_024
const MAX_REFERENCE_LENGTH = 200
const MAX_AHEAD_MS = 366 * 24 * 3_600_000
/** An epoch below this is in seconds: as ms it would be in 1973. */
const LEAST_EPOCH_MS = 100_000_000_000

const TENANT = /^[A-Za-z0-9._-]{1,64}$/
const REFERENCE = /^[\x21-\x7e]+$/
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/

/** Members that each type has beside `type`, `soft`, `at` and `reference`. */
const MEMBERS = {
  url: ['urls', 'tenant'],
  prefix: ['prefixes', 'tenant'],
  tag: ['tenant', 'tags'],
  tenant: ['tenant'],
  all: ['confirm'],
} as const

type Members = Readonly<Record<string, unknown>>

/** `now` in epoch ms. */
export function parsePurgeObject(input: unknown, now: number): ParsedPurge {
  try {
    return { ok: true, message: readMessage(input, now) }
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, reason: error.message }
    throw error
  }
}

/** Thrown and caught in this file. */
class Refusal extends Error {}

function readMessage(input: unknown, now: number): PurgeMessage {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new Refusal(`a purge is a JSON object, not ${describe(input)}`)
  }
  // An object that is no array: its members are looked at one by one.
  const members = input as Members
  const scope = readScope(members)
  refuseUnknown(members, scope.type)
  const at = readAt(members.at, now)
  const reference = readReference(members.reference)
  return {
    ...scope,
    soft: readSoft(members.soft),
    ...(at === undefined ? {} : { at }),
    ...(reference === undefined ? {} : { reference }),
  }
}

function readScope(members: Members): PurgeScope {
  switch (members.type) {
    case 'url':
      return { type: 'url', urls: readUrls('urls', members.urls), ...optionalTenant(members) }
    case 'prefix': {
      const prefixes = readUrls('prefixes', members.prefixes)
      return { type: 'prefix', prefixes, ...optionalTenant(members) }
    }
    case 'tag':
      return { type: 'tag', tenant: readTenant(members.tenant), tags: readTags(members.tags) }
    case 'tenant':
      return { type: 'tenant', tenant: readTenant(members.tenant) }
    case 'all':
      if (members.confirm === true) return { type: 'all' }
      throw new Refusal('a purge of everything needs "confirm": true')
    default:
      throw new Refusal(
        `'type' is one of ${Object.keys(MEMBERS).join(', ')}, not ${describe(members.type)}`,
      )
  }
}

function refuseUnknown(members: Members, type: keyof typeof MEMBERS): void {
  const known: readonly string[] = ['type', 'soft', 'at', 'reference', ...MEMBERS[type]]
  const unknown = Object.keys(members).find((name) => !known.includes(name))
  if (unknown === undefined) return
  throw new Refusal(
    `a purge of type '${type}' has no member ${describe(unknown)}; it has ${known.join(', ')}`,
  )
}

function readSoft(value: unknown): boolean {
  if (value === undefined) return false
  if (typeof value === 'boolean') return value
  throw new Refusal(`'soft' is true or false, not ${describe(value)}`)
}

function optionalTenant(members: Members): { tenant?: string } {
  return members.tenant === undefined ? {} : { tenant: readTenant(members.tenant) }
}

function readTenant(value: unknown): string {
  if (typeof value === 'string' && TENANT.test(value)) return value
  throw new Refusal(
    `'tenant' is the id of a tenant (letters, digits, '.', '_', '-'; at most 64), not ${describe(value)}`,
  )
}

function readTags(value: unknown): readonly string[] {
  return readList('tags', value, (item) => {
    const isTag = item.length > 0 && item.length <= MAX_TAG_LENGTH && !hasControl(item)
    if (isTag) return item
    throw new Refusal(
      `a tag has 1 to ${MAX_TAG_LENGTH} characters, none of them a control character, not ${describe(item)}`,
    )
  })
}

function readUrls(name: 'urls' | 'prefixes', value: unknown): readonly string[] {
  return readList(name, value, (item) => {
    if (item.length > MAX_URL_LENGTH) {
      throw new Refusal(`a URL has at most ${MAX_URL_LENGTH} characters, not ${item.length}`)
    }
    const url = hasControl(item) || item.includes(' ') ? null : URL.parse(item)
    const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:'
    // 'https:www.acme.test' is a URL too, to those who forgive everything.
    if (!isWeb || url.username !== '' || url.password !== '' || !/^https?:\/\//i.test(item)) {
      throw new Refusal(
        `'${name}' holds absolute URLs like https://www.acme.test/a.png, not ${describe(item)}`,
      )
    }
    const fragment = item.indexOf('#')
    return fragment < 0 ? item : item.slice(0, fragment)
  })
}

function readList(name: string, value: unknown, read: (item: string) => string): readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_ITEMS) {
    const came = Array.isArray(value) ? `${value.length} of them` : describe(value)
    throw new Refusal(`'${name}' is a list of 1 to ${MAX_ITEMS} texts, not ${came}`)
  }
  const items = new Set<string>()
  for (const item of value) {
    if (typeof item !== 'string') {
      throw new Refusal(`'${name}' holds texts, not ${describe(item)}`)
    }
    items.add(read(item))
  }
  return [...items]
}

function readAt(value: unknown, now: number): number | undefined {
  if (value === undefined) return undefined
  const at = instantOf(value)
  if (at === undefined || !Number.isFinite(at) || at < 0) {
    throw new Refusal(
      `'at' is a time like 2026-11-20T18:00:00Z, or an epoch in seconds or ms, not ${describe(value)}`,
    )
  }
  if (at > now + MAX_AHEAD_MS) throw new Refusal("'at' is more than a year ahead")
  return Math.round(at)
}

function instantOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value < LEAST_EPOCH_MS ? value * 1000 : value
  if (typeof value === 'string' && ISO_TIME.test(value)) return Date.parse(value)
  return undefined
}

function readReference(value: unknown): string | undefined {
  if (value === undefined) return undefined
  const isReference = typeof value === 'string' && REFERENCE.test(value)
  if (isReference && value.length <= MAX_REFERENCE_LENGTH) return value
  throw new Refusal(
    `'reference' has 1 to ${MAX_REFERENCE_LENGTH} visible ASCII characters, not ${describe(value)}`,
  )
}

function hasControl(text: string): boolean {
  return /[\x00-\x1f\x7f]/.test(text)
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value) ?? typeof value
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

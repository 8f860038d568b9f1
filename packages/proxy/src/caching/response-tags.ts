import { isInnerList, parseList } from 'structured-headers'
import type { Fields } from '../http/fields.ts'
import { isSafe } from '../http/methods.ts'

/** Fields by which an origin says what a response belongs to, so that a purge by tag finds it. */
export const TAG_FIELDS: ReadonlySet<string> = new Set([
  'surrogate-key',
  'cache-tag',
  'cache-groups',
])

export interface TagLimits {
  readonly maxCount: number
  /** Of all tags of a response together, octets. */
  readonly maxBytes: number
}

export const DEFAULT_TAG_LIMITS: TagLimits = Object.freeze({ maxCount: 1_000, maxBytes: 16_384 })

/**
 * The tags of a response, each once; all lines of all three fields count. Null when they exceed the limits: what a purge
 * could not find must not be stored.
 */
export function responseTags(fields: Fields, limits: TagLimits): readonly string[] | null {
  let tags: Set<string> | null = null
  let bytes = 0
  for (const [name, value] of fields) {
    if (!TAG_FIELDS.has(name)) continue
    tags ??= new Set()
    for (const tag of tagsOfLine(name, value)) {
      if (tag === '' || tags.has(tag)) continue
      tags.add(tag)
      bytes += tag.length
      const tooMany = tags.size > limits.maxCount || bytes > limits.maxBytes
      if (tooMany || tag.length > MAX_TAG_LENGTH) return null
    }
  }
  return tags === null ? NONE : [...tags]
}

/** A purge cannot name a longer one. */
const MAX_TAG_LENGTH = 1_024

/** The groups that an answer to an unsafe request invalidates (RFC 9875 §3). */
export function invalidatedGroups(
  method: string,
  status: number,
  fields: Fields,
): readonly string[] {
  const value = fields.get('cache-group-invalidation')
  // RFC 9875 §3: MUST be ignored on responses to safe requests.
  if (value === undefined || isSafe(method) || status < 200 || status >= 400) return NONE
  return cacheGroups(value).filter((group) => group !== '' && group.length <= MAX_TAG_LENGTH)
}

const NONE: readonly string[] = Object.freeze([])

function tagsOfLine(name: string, value: string): readonly string[] {
  if (name === 'surrogate-key') return value.split(/[ \t]+/)
  if (name === 'cache-tag') return value.split(',').map((tag) => tag.trim())
  return cacheGroups(value)
}

/** RFC 9875 §2, §3: a List of Strings, parameters ignored. */
function cacheGroups(value: string): readonly string[] {
  try {
    const groups: string[] = []
    for (const member of parseList(value)) {
      if (!isInnerList(member) && typeof member[0] === 'string') groups.push(member[0])
    }
    return groups
  } catch {
    // RFC 9651 §4.2: what does not parse is as if it were not there.
    return NONE
  }
}

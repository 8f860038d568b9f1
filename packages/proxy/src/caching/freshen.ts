import { isStrong, strongMatch, weakMatch } from '../http/entity-tag.ts'
import { Fields } from '../http/fields.ts'

/** Fields that describe the stored bytes or the message, which no 304 or HEAD may change (RFC 9111 §3.2). */
const NOT_UPDATED: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'etag',
])

/**
 * The stored fields with those of a 304 or HEAD response in their place (RFC 9111 §3.2, §4.3.4). Age is dropped: the
 * validation starts a new one, and an old Age would be counted twice.
 */
export function freshenedFields(stored: Fields, update: Fields): Fields {
  const replaced = new Set<string>()
  for (const [name] of update) if (!NOT_UPDATED.has(name)) replaced.add(name)
  const merged = stored.without((name) => replaced.has(name) || name === 'age')
  for (const [name, value] of update) if (replaced.has(name)) merged.add(name, value)
  return merged
}

/**
 * True when a 304 speaks of this stored response (RFC 9111 §4.3.4). The origin may leave validators out; since the
 * request named this response's alone, it can mean no other. One that names a different validator is not guessed at.
 */
export function validatesStored(stored: Fields, notModified: Fields): boolean {
  const tag = notModified.get('etag')
  const storedTag = stored.get('etag')
  if (tag !== undefined) {
    if (storedTag === undefined) return false
    return isStrong(tag) && isStrong(storedTag)
      ? strongMatch(tag, storedTag)
      : weakMatch(tag, storedTag)
  }
  const lastModified = notModified.get('last-modified')
  if (lastModified === undefined || storedTag !== undefined) return true
  return lastModified === stored.get('last-modified')
}

/**
 * RFC 9111 §4.3.5: a HEAD response whose validators and length agree with the stored GET freshens it, one that
 * disagrees shows that the stored response is no longer current.
 */
export function headAgrees(stored: Fields, head: Fields): boolean {
  for (const name of ['etag', 'last-modified', 'content-length']) {
    const value = head.get(name)
    if (value !== undefined && value !== stored.get(name)) return false
  }
  return true
}

/** The conditions that ask the origin whether the stored response is still current (RFC 9111 §4.3.1). */
export function validationFields(stored: Fields): Fields {
  const fields = new Fields()
  const tag = stored.get('etag')
  if (tag !== undefined) fields.add('if-none-match', tag)
  const lastModified = stored.get('last-modified')
  if (lastModified !== undefined) fields.add('if-modified-since', lastModified)
  return fields
}

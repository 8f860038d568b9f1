/** Entity tags (RFC 9110 §8.8.3), kept as they are written: `"x"` strong, `W/"x"` weak. */

const ENTITY_TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/

export function isEntityTag(text: string): boolean {
  return ENTITY_TAG.test(text)
}

export function isStrong(tag: string): boolean {
  return !tag.startsWith('W/')
}

/** RFC 9110 §8.8.3.2 */
export function strongMatch(a: string, b: string): boolean {
  return a === b && isStrong(a)
}

/** RFC 9110 §8.8.3.2 */
export function weakMatch(a: string, b: string): boolean {
  return opaque(a) === opaque(b)
}

function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag
}

/**
 * The members of If-Match or If-None-Match: '*', or the tags in order; what is no entity tag is skipped. A comma may
 * stand inside a tag, so the list cannot simply be split.
 */
export function parseEntityTagList(value: string): '*' | string[] {
  if (value.trim() === '*') return '*'
  const tags: string[] = []
  const member = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"|[^,\s"]+/g
  for (let match = member.exec(value); match !== null; match = member.exec(value)) {
    if (isEntityTag(match[0])) tags.push(match[0])
  }
  return tags
}

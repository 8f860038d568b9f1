import { hash } from 'node:crypto'

/** Bytes of one tag in the index. */
export const TAG_HASH_BYTES = 8

/** A tag of a tenant, as the index has it: 64 bits of SHA-256. What it leads to is verified by its head. */
export function tagHash(tenant: string, tag: string): Buffer {
  return hash('sha256', `${tenant}\n${tag}`, 'buffer').subarray(0, TAG_HASH_BYTES)
}

/** All of a stored response, one behind the other; undefined without any. Its key begins with the tenant. */
export function tagHashesOf({
  key,
  tags,
}: {
  readonly key: string
  readonly tags: readonly string[]
}): Buffer | undefined {
  if (tags.length === 0) return undefined
  const tenant = key.slice(0, key.indexOf('\n'))
  return Buffer.concat(tags.map((tag) => tagHash(tenant, tag)))
}

import { type PurgeMessage, PurgeTable, type ResolveUrl } from '@larder/purge-bus'
import type { StoredMetadata } from '../storage/stored-response.ts'

/** Whether a purge, if it came now, would cover what is stored. */
export function wouldPurge(
  message: PurgeMessage,
  resolve: ResolveUrl,
): (stored: Pick<StoredMetadata, 'key' | 'tags'>) => boolean {
  const table = new PurgeTable({ resolve })
  table.apply([{ number: 1, message }])
  return ({ key, tags }) => {
    const [tenant, url] = key.split('\n', 2)
    // Slices go with the head that leads to them, whose key theirs begins with.
    const facts = { tenant, key: `${tenant}\n${url}`, tags, number: 0 }
    return table.validity(facts) !== 'valid'
  }
}

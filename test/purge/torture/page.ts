import type { PurgeMessage } from '@larder/purge-bus'

/** A page of the origin; everything about it but its version follows from its number. */
export interface Page {
  readonly tenant: string
  readonly host: string
  readonly path: string
  readonly url: string
  readonly tags: readonly string[]
  readonly sizeBytes: number
  readonly cacheControl: string
  readonly hasEtag: boolean
  readonly isChunked: boolean
}

const SIZES = [200, 5_000, 40_000, 200_000]
const FRESHNESS = [
  'max-age=3600',
  'max-age=1',
  'max-age=3600, stale-while-revalidate=60',
  'max-age=1, stale-while-revalidate=2',
]

export function pagesOf(tenants: readonly string[], perTenant: number): Page[] {
  return tenants.flatMap((tenant) =>
    Array.from({ length: perTenant }, (_, index): Page => {
      const host = `${tenant}.test`
      const path = `/${tenant}/${index}`
      return {
        ...{ tenant, host, path, url: `http://${host}${path}` },
        tags: index % 3 === 0 ? [] : ['shop', `t-${index % 4}`],
        sizeBytes: SIZES[(index * 7 + 1) % SIZES.length],
        cacheControl: FRESHNESS[index % FRESHNESS.length],
        hasEtag: index % 5 !== 4,
        isChunked: index % 3 === 1,
      }
    }),
  )
}

/** The version is in every piece of it, so that a mixed body gives itself away. */
export function bodyOf({ path, sizeBytes }: Page, version: number): Buffer {
  return Buffer.alloc(sizeBytes, `${path} v${version}\n`)
}

/** Octets in which the version is found for certain. */
export const LEGIBLE_BYTES = 64

/** Null when there is none in it. */
export function versionIn(octets: Buffer): number | null {
  const found = / v(\d+)\n/.exec(octets.toString('latin1', 0, LEGIBLE_BYTES))
  return found === null ? null : Number(found[1])
}

/** Whether a purge of this kind leaves nothing that may be served: a soft one leaves what may be used stale. */
export function doesAwayWith({ soft }: PurgeMessage, { cacheControl }: Page): boolean {
  return !soft || !cacheControl.includes('stale-while-revalidate')
}

export function covers(message: PurgeMessage, page: Page): boolean {
  switch (message.type) {
    case 'all':
      return true
    case 'tenant':
      return message.tenant === page.tenant
    case 'tag':
      return message.tenant === page.tenant && message.tags.some((tag) => page.tags.includes(tag))
    case 'url':
      return message.urls.includes(page.url)
    case 'prefix':
      return message.prefixes.some((prefix) => page.url.startsWith(prefix))
  }
}

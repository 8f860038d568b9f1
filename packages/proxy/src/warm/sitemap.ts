/** What a sitemap names (sitemaps.org/protocol.html): pages, or further sitemaps when it is an index. */
export interface Sitemap {
  readonly isIndex: boolean
  readonly locations: readonly string[]
}

const LOCATION = /<(?:\w+:)?loc\s*>\s*(?:<!\[CDATA\[)?([^<]*?)(?:\]\]>)?\s*<\/(?:\w+:)?loc\s*>/g
const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
}

/** Null when it is none. Only the locations are read: no other markup, no external entities. */
export function parseSitemap(text: string): Sitemap | null {
  const root = /<(?:\w+:)?(urlset|sitemapindex)[\s>]/.exec(text)
  if (root === null) return null
  const body = text
    .replaceAll(/<!--[\s\S]*?-->/g, '')
    .replaceAll(/<image:image>[\s\S]*?<\/image:image>/g, '')
  const locations = [...body.matchAll(LOCATION)].map((match) => unescapeXml(match[1].trim()))
  return {
    isIndex: root[1] === 'sitemapindex',
    locations: locations.filter((one) => URL.canParse(one)),
  }
}

function unescapeXml(text: string): string {
  return text.replaceAll(
    /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));/gi,
    (all, hex, decimal, name) => {
      if (name !== undefined) return ENTITIES[name] ?? all
      const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
      return code <= 0x10ffff ? String.fromCodePoint(code) : all
    },
  )
}

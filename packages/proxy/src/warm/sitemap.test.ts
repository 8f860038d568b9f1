import t from 'tap'
import { parseSitemap } from './sitemap.ts'

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

const rows: [name: string, text: string, expected: ReturnType<typeof parseSitemap>][] = [
  [
    'pages, with what belongs to them left out',
    `${HEAD}<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
      <url><loc>https://a.test/</loc><lastmod>2026-01-01</lastmod></url>
      <url><loc>
        https://a.test/b?c=1&amp;d=2
      </loc><image:image><image:loc>https://a.test/i.png</image:loc></image:image></url>
    </urlset>`,
    { isIndex: false, locations: ['https://a.test/', 'https://a.test/b?c=1&d=2'] },
  ],
  [
    'an index',
    `${HEAD}<sitemapindex><sitemap><loc>https://a.test/1.xml</loc></sitemap></sitemapindex>`,
    { isIndex: true, locations: ['https://a.test/1.xml'] },
  ],
  [
    'a prefix, CDATA, character references',
    '<s:urlset xmlns:s="x"><s:url><s:loc><![CDATA[https://a.test/?a&b]]></s:loc></s:url><s:url><s:loc>https://a.test/&#x61;&#98;</s:loc></s:url></s:urlset>',
    { isIndex: false, locations: ['https://a.test/?a&b', 'https://a.test/ab'] },
  ],
  [
    'comments and what is no URL are passed over',
    '<urlset><!-- <loc>https://a.test/old</loc> --><url><loc>/relative</loc></url></urlset>',
    { isIndex: false, locations: [] },
  ],
  ['no sitemap', '<html><body><loc>https://a.test/</loc></body></html>', null],
  ['a list of URLs', 'https://a.test/\nhttps://a.test/b\n', null],
]

for (const [name, text, expected] of rows) {
  t.test(name, async (t) => {
    t.same(parseSitemap(text), expected)
  })
}

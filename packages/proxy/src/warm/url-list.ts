import { readFile, stat } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import type { ProxyDoor } from './proxy-door.ts'
import { parseSitemap, type Sitemap } from './sitemap.ts'

/** Where URLs come from. */
export type WarmSource =
  | { readonly kind: 'urls'; readonly urls: readonly string[] }
  /** A file with a URL per line, or a sitemap. */
  | { readonly kind: 'file'; readonly path: string }
  /** Fetched through the proxy, like what it names. */
  | { readonly kind: 'sitemap'; readonly url: string }
  /** The admin API of a proxy that is warm. */
  | { readonly kind: 'sibling'; readonly admin: string; readonly token: string | undefined }

/** URLs of one run; what is beyond is not fetched. */
export const MAX_URLS = 100_000
/** Of what a sibling has. */
const MAX_HOT = 10_000
/** One sitemap, unpacked (sitemaps.org/protocol.html: 50 MB). */
const MAX_SITEMAP_BYTES = 50 * 1024 * 1024
/** Sitemaps of one index. */
const MAX_SITEMAPS = 1_000
const SIBLING_TIMEOUT_MS = 20_000

/** At most `MAX_URLS` different URLs, in the order of their source. Rejects, in words, when it cannot be read. */
export async function listUrls(
  source: WarmSource,
  door: ProxyDoor,
  signal: AbortSignal,
): Promise<string[]> {
  const urls = new Set<string>()
  const add = (text: string) => {
    if (urls.size < MAX_URLS) urls.add(checked(text))
  }
  switch (source.kind) {
    case 'urls':
      source.urls.forEach(add)
      break
    case 'file':
      await fromFile(source.path, door, signal, add)
      break
    case 'sitemap':
      await fromSitemap(await fetchSitemap(source.url, door, signal), door, signal, add)
      break
    case 'sibling':
      for (const url of await fromSibling(source, signal)) add(url)
      break
  }
  return [...urls]
}

/** `http:` and `https:` alone, without a fragment. */
function checked(text: string): string {
  if (!URL.canParse(text)) throw new Error(`'${text.slice(0, 200)}' is not a URL`)
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error(`'${text.slice(0, 200)}' is neither an http: nor an https: URL`)
  }
  url.hash = ''
  return url.href
}

async function fromFile(
  path: string,
  door: ProxyDoor,
  signal: AbortSignal,
  add: (url: string) => void,
): Promise<void> {
  const { size } = await stat(path)
  if (size > MAX_SITEMAP_BYTES)
    throw new Error(`'${path}' is longer than ${MAX_SITEMAP_BYTES} bytes`)
  const text = unpacked(await readFile(path))
  const sitemap = parseSitemap(text)
  if (sitemap !== null) return fromSitemap(sitemap, door, signal, add)
  for (const [i, line] of text.split('\n').entries()) {
    const url = line.trim()
    if (url === '' || url.startsWith('#')) continue
    if (!URL.canParse(url)) {
      throw new Error(`${path}:${i + 1}: expected a URL per line, got '${url.slice(0, 200)}'`)
    }
    add(url)
  }
}

async function fromSitemap(
  { isIndex, locations }: Sitemap,
  door: ProxyDoor,
  signal: AbortSignal,
  add: (url: string) => void,
): Promise<void> {
  if (!isIndex) {
    locations.forEach(add)
    return
  }
  for (const location of locations.slice(0, MAX_SITEMAPS)) {
    const inner = await fetchSitemap(location, door, signal)
    // An index lists sitemaps, not indexes.
    if (!inner.isIndex) inner.locations.forEach(add)
  }
}

async function fetchSitemap(url: string, door: ProxyDoor, signal: AbortSignal): Promise<Sitemap> {
  const answer = await door.get(url, signal, MAX_SITEMAP_BYTES)
  if (answer.status !== 200) throw new Error(`the sitemap ${url} has the status ${answer.status}`)
  const sitemap = parseSitemap(unpacked(answer.body))
  if (sitemap === null) throw new Error(`${url} is no sitemap: neither urlset nor sitemapindex`)
  return sitemap
}

function unpacked(bytes: Buffer): string {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b
  return (isGzip ? gunzipSync(bytes, { maxOutputLength: MAX_SITEMAP_BYTES }) : bytes).toString()
}

async function fromSibling(
  { admin, token }: Extract<WarmSource, { kind: 'sibling' }>,
  signal: AbortSignal,
): Promise<string[]> {
  const headers: Record<string, string> = {}
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  const url = new URL(`/api/v1/hot?limit=${MAX_HOT}`, admin)
  const timeout = AbortSignal.timeout(SIBLING_TIMEOUT_MS)
  let response: Response
  try {
    response = await fetch(url, { headers, signal: AbortSignal.any([signal, timeout]) })
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`nothing answers at ${admin} (${reason})`, { cause: error })
  }
  if (!response.ok)
    throw new Error(`${admin} answers ${response.status} to a question for hot URLs`)
  const answer: unknown = await response.json()
  return hotUrls(answer, admin)
}

function hotUrls(answer: unknown, admin: string): string[] {
  const urls =
    typeof answer === 'object' && answer !== null && 'urls' in answer ? answer.urls : null
  if (!Array.isArray(urls))
    throw new Error(`${admin} is not the admin API of a proxy like this one`)
  return urls.map((one: { readonly url?: unknown }) => String(one.url))
}

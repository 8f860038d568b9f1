import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const DOCS = join(dirname(fileURLToPath(import.meta.url)), '../../../docs')

/**
 * Puts `text` into a page between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; all else in the page is written by
 * hand. Throws when the page has no such place.
 */
export function writeDocsSection(page: string, name: string, text: string): void {
  const file = join(DOCS, page)
  writeFileSync(file, withSection(readFileSync(file, 'utf8'), name, text))
}

export function withSection(page: string, name: string, text: string): string {
  const begin = `<!-- begin: ${name} -->\n`
  const end = `<!-- end: ${name} -->`
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from === -1 || to < from) {
    throw new Error(
      `The page has no place for '${name}': add the lines '${begin.trim()}' and '${end}'.`,
    )
  }
  return `${page.slice(0, from)}${begin}${text.trim()}\n${page.slice(to)}`
}

import { closeSync, fstatSync, openSync, readdirSync, readSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/**
 * LMDB trusts its file: of one that is cut or overwritten it reads what is not there, and the process dies with
 * SIGBUS or SIGSEGV. So its two meta pages, and a sample of the others, are looked at before it is opened.
 *
 * A page: 24 bytes of header; a meta page goes on with magic (u32), version (u32), address (u64), map size (u64), the
 * two root records (48 bytes each, the first begins with the page size), last page (u64), transaction (u64).
 */
const MAGIC = 0xbeefc0de
const MAGIC_AT = 24
const PAGE_BYTES_AT = 48
const LAST_PAGE_AT = 144
const META_BYTES = 160
const SAMPLED_PAGES = 64

export function indexFolder(folder: string): string {
  return join(folder, 'index')
}

export function indexPath(folder: string): string {
  return join(indexFolder(folder), 'data.mdb')
}

/** False for a file that must not be opened. One that is missing or empty is as good as new. */
export function isIndexSound(path: string): boolean {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw error
  }
  try {
    const { size } = fstatSync(fd)
    if (size === 0) return true
    const first = readMeta(fd, 0)
    if (first === null) return false
    const second = readMeta(fd, first.pageBytes)
    if (second === null || second.pageBytes !== first.pageBytes) return false
    // The newer meta page is in force; the older may name fewer pages, never more.
    const pages = Math.max(first.lastPage, second.lastPage) + 1
    return pages * first.pageBytes <= size && arePagesSound(fd, pages, first.pageBytes)
  } finally {
    closeSync(fd)
  }
}

/**
 * A page begins with its number, but for those that were never written and the later ones of a long list of free pages.
 * So a few that do not are no sign of damage; most of a sample are.
 */
function arePagesSound(fd: number, pages: number, pageBytes: number): boolean {
  const bytes = Buffer.alloc(8)
  const step = Math.max(1, Math.floor(pages / SAMPLED_PAGES))
  let numbered = 0
  let other = 0
  for (let page = 2; page < pages; page += step) {
    readSync(fd, bytes, 0, 8, page * pageBytes)
    const number = bytes.readBigUInt64LE(0)
    if (number === BigInt(page)) numbered++
    else if (number !== 0n) other++
  }
  return other <= numbered
}

function readMeta(fd: number, at: number): { pageBytes: number; lastPage: number } | null {
  const bytes = Buffer.alloc(META_BYTES)
  if (readSync(fd, bytes, 0, META_BYTES, at) !== META_BYTES) return null
  if (bytes.readUInt32LE(MAGIC_AT) !== MAGIC) return null
  const pageBytes = bytes.readUInt32LE(PAGE_BYTES_AT)
  if (pageBytes < 512 || pageBytes > 65_536) return null
  const lastPage = Number(bytes.readBigUInt64LE(LAST_PAGE_AT))
  return { pageBytes, lastPage }
}

/** Out of the way, for whoever wants to know what happened to it; only the last one is kept. */
export function setIndexAside(folder: string): void {
  const aside = join(folder, 'index-unusable')
  rmSync(aside, { recursive: true, force: true })
  try {
    renameSync(indexFolder(folder), aside)
  } catch (error) {
    // Another process was quicker.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** The highest number that a segment or a large file has: a new index goes on behind it. */
export function highestFileNumber(folder: string): number {
  let highest = 0
  const note = (name: string): void => {
    const number = Number.parseInt(name, 16)
    if (number > highest) highest = number
  }
  for (const name of names(join(folder, 'segments'))) note(name)
  for (const group of names(join(folder, 'large'))) {
    for (const name of names(join(folder, 'large', group))) note(name)
  }
  return highest
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

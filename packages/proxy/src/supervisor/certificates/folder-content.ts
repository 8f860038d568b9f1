import type { Dirent } from 'node:fs'
import { parseFolderFile, type Suffix } from './folder-names.ts'

const PLAIN: readonly Suffix[] = ['']

export interface FolderContent {
  /** Keys of pairs whose halves are both there, with their suffixes. */
  readonly pairs: ReadonlyMap<string, readonly Suffix[]>
  /** Those of which at least one half is there. */
  readonly stems: ReadonlySet<string>
}

/** Keys are stems; with a slash behind them for folders as certbot keeps them. */
export function pairsAmong(entries: readonly Dirent[]): FolderContent {
  const halves = new Map<string, number>()
  const stems = new Set<string>()
  const pairs = new Map<string, readonly Suffix[]>()
  for (const entry of entries) {
    const { name } = entry
    const isLink = entry.isSymbolicLink() && parseFolderFile(name) === undefined
    if (entry.isDirectory() || isLink) {
      if (!name.startsWith('.')) pairs.set(`${name}/`, PLAIN)
      continue
    }
    const file = parseFolderFile(name)
    if (file === undefined) continue
    const { stem, suffix } = file
    stems.add(stem)
    const whole = `${stem}\n${suffix}`
    const both = (halves.get(whole) ?? 0) | (file.half === 'certificate' ? 1 : 2)
    halves.set(whole, both)
    if (both !== 3) continue
    const before = pairs.get(stem)
    if (before === undefined) pairs.set(stem, suffix === '' ? PLAIN : [suffix])
    else pairs.set(stem, [...before, suffix].toSorted())
  }
  return { pairs, stems }
}

/** The stem of the pair that a file is a half of. */
export function halfOf(fileName: string): string | undefined {
  return parseFolderFile(fileName)?.stem
}

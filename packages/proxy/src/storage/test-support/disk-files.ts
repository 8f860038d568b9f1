import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Segments and large files of a disk tier, by path. */
export function recordFiles(path: string, kind: 'segments' | 'large'): string[] {
  const names = readdirSync(join(path, kind), { recursive: true, encoding: 'utf8' })
  // Others may be removing what has just been listed.
  const isFile = (file: string) => statSync(file, { throwIfNoEntry: false })?.isFile() === true
  return names.map((name) => join(path, kind, name)).filter(isFile)
}

/** All space that the tier takes, index included, bytes. */
export function spaceTaken(path: string): number {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' })
  return names.reduce((sum, name) => {
    const stats = statSync(join(path, name), { throwIfNoEntry: false })
    return sum + (stats?.isFile() ? stats.blocks * 512 : 0)
  }, 0)
}

export function overwrite(file: string, at: number, bytes: Buffer): void {
  const fd = openSync(file, 'r+')
  writeSync(fd, bytes, 0, bytes.length, at)
  closeSync(fd)
}

export function bytesAt(file: string, at: number, length: number): Buffer {
  const fd = openSync(file, 'r')
  const bytes = Buffer.alloc(length)
  readSync(fd, bytes, 0, length, at)
  closeSync(fd)
  return bytes
}

/** The same numbers at every run. */
export function numbersFrom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

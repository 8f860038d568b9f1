import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let folder: string | undefined

/**
 * Where workers keep compiled code for their successors: a replacement starts in a third of the time. The folder is
 * this process's own (mkdtemp(3), mode 0700), since whoever can write there runs code in the workers.
 */
export function compileCacheFolder(): string {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'larder-compiled-'))
    process.once('exit', () => rmSync(made, { recursive: true, force: true }))
    folder = made
  }
  return folder
}

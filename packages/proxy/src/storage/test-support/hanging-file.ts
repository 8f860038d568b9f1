import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import type { Test } from 'tap'

const HELD = '.held'

/**
 * Whoever opens the file from now on hangs in a thread of the pool, until `release` gives back what was there: a FIFO
 * that nobody writes to. Released at the end of the test at the latest.
 */
export function makeHang(t: Test, path: string): { release(): void } {
  // A copy: who has the file open finds it removed.
  copyFileSync(path, path + HELD)
  rmSync(path)
  execFileSync('mkfifo', [path])
  const release = () => {
    if (!existsSync(path + HELD)) return
    // Opened for both, it waits for nobody and lets in whoever waits; they find nothing that can be read.
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    rmSync(path)
    renameSync(path + HELD, path)
    // Those whose turn comes only now meet the file itself.
    setTimeout(() => closeSync(fd), 100)
  }
  t.teardown(release)
  return { release }
}

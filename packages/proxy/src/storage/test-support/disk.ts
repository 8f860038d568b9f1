import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { DiskTier, type DiskTierOptions } from '../disk/disk-tier.ts'

export interface DiskUnderTest {
  readonly path: string
  readonly tier: DiskTier
  /** What the tier said of itself: 'off …' and 'on'. */
  readonly states: string[]
}

/** An empty folder, removed when the test ends. */
export function temporaryFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'larder-disk-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A disk tier in a folder of its own, closed when the test ends. */
export function diskTier(t: Test, options: Partial<DiskTierOptions> = {}): DiskUnderTest {
  const path = options.path ?? temporaryFolder(t)
  const states: string[] = []
  const tier = new DiskTier({
    maxSizeBytes: 1024 ** 3,
    onState: (state, reason) => states.push(`${state} ${reason}`.trim()),
    ...options,
    path,
  })
  t.teardown(() => tier.close())
  return { path, tier, states }
}
